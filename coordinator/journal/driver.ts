// The thin part around the pure core: inputs wait in a queue, all that wait are decided together, their
// events are appended as one group, and only then do effects leave and callers get their answers. One append
// for all that wait is what makes durability cheap: it costs one disk sync a group, not one an event.
//
// It decides nothing about runs. It is in one of four states: it reads the journal; it leads; it is halted,
// because the journal is damaged or was cut off, and reads again until that succeeds; or it has stopped for
// good, because the lead is lost.

import type { Clock } from '../../core/clock.ts';
import { createDeferred } from '../../core/deferred.ts';
import { FleetError, toFleetError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import { delayMs, WAIT_FOR_ROOM } from '../../core/retry.ts';
import type { Answer, Effect, Input } from '../decisions/inputs.ts';
import type { Event } from '../model/events.ts';
import { evolve } from '../model/evolve.ts';
import type { Observed } from '../model/observed.ts';
import type { State } from '../model/state.ts';
import {
  admissionOf,
  afterFailedAppend,
  consequenceOf,
  decideAll,
  isCall,
  isRefusedByStore,
} from './admission.ts';
import { createInbox, type Waiting } from './inbox.ts';
import type { Journal } from './journal.ts';
import { confirmLeadFor, isSeenOutside } from './lead-confirmation.ts';
import { openJournalState } from './opening.ts';

/** The coordinator as one thing that takes inputs and has a state. */
export interface Driver {
  /**
   * The state with everything that is on disk and can be read; throws `unavailable` before anything was read.
   */
  readonly state: State;
  /** Why nothing is decided now; undefined while this coordinator leads. */
  readonly halted: FleetError | undefined;
  /** As `state`, undefined before anything was read. */
  readonly known: State | undefined;
  /** The lead was claimed and not lost since. */
  readonly leads: boolean;
  /** Queues an input; resolves when what follows from it is on disk, rejects when it is refused. */
  submit(input: Input): Promise<Answer | undefined>;
  /** Why a `submit` would be refused now. */
  readonly refusal: FleetError | undefined;
  /**
   * With an error: no `submit` is taken, and while the journal cannot be written no other call either; those
   * that wait are rejected with it too. Undefined: calls are taken again.
   */
  refuse(error: FleetError | undefined): void;
  /** The listener is called after each group and each volatile change. Returns the end of that. */
  onChange(listener: () => void): () => void;
  /** Something volatile changed: progress, a connection. */
  touch(): void;
  /** Asks the broker whether this coordinator still leads; `failed` or `halted` show what it finds. */
  confirmLead(): Promise<void>;
  /** Resolves when the journal was read for the first time, or cannot be read now: `halted` says why. */
  readonly begun: Promise<void>;
  /** Resolves when the lead is lost or the broker refuses for good; never otherwise. */
  readonly failed: Promise<FleetError>;
  close(): Promise<void>;
}

/** Starts at once; the journal is read in the background, again and again until that succeeds. */
export function createDriver(options: {
  journal: Journal;
  clock: Clock;
  log: Logger;
  version: string;
  observe: () => Observed;
  perform: (effect: Effect) => void;
  /** Before each reading of the journal: what must exist for it. */
  prepare: () => Promise<void>;
  /** The journal was read, and decisions begin with this state. `again`: they had begun before. */
  onOpen?: (state: State, again: boolean) => void;
  /** Sees each event once, after it is on disk; not those of the replay. */
  onEvent?: (event: Event, before: State, after: State) => void;
}): Driver {
  const { journal, clock, log } = options;
  let state: State | undefined;
  const inbox = createInbox();
  let refusal: FleetError | undefined;
  const listeners = new Set<() => void>();
  const closing = new AbortController();
  let working: Promise<void> | undefined;
  /** Callers whose decision is in the append under way. */
  let inAppend: readonly Waiting[] = [];
  let stopped: FleetError | undefined;
  let claimed = false;
  let opened = false;
  let halted: FleetError | undefined = new FleetError('unavailable', 'the journal is being read');
  const begun = createDeferred<void>();
  const failed = createDeferred<FleetError>();

  const known = (): State => {
    if (state === undefined) throw halted ?? new FleetError('unavailable', 'the journal is being read');
    return state;
  };

  function notify(): void {
    for (const listener of listeners) listener();
  }

  function stop(error: FleetError): void {
    stopped ??= error;
    inbox.reject(error);
  }

  function failWriting(error: FleetError): void {
    if (stopped !== undefined) return;
    if (consequenceOf(error, 'writing') === 'again') halt(error);
    else {
      stop(error);
      failed.resolve(error);
    }
  }

  function halt(error: FleetError): void {
    halted = error.code === 'dataLoss' ? error : new FleetError('unavailable', error.message);
    log.error({ code: error.code, sequence: journal.sequence }, error.message);
    inbox.reject(halted);
    notify();
    void open();
  }

  /** Reads the journal in the background until that succeeds. */
  async function open(): Promise<void> {
    try {
      const read = await openJournalState({
        ...{ journal, clock, log, prepare: options.prepare, signal: closing.signal, reported: halted },
        onTrouble(error, readable) {
          // A state that was whole shows more than the part of it that can still be read.
          state ??= readable;
          halted = error;
          if (error.code === 'dataLoss') inbox.reject(error);
          notify();
          begun.resolve();
        },
      });
      if (read !== undefined) enter(read);
    } catch (caught) {
      const error = toFleetError(caught);
      stop(error);
      begun.resolve();
      failed.resolve(error);
    }
  }

  function enter(read: State): void {
    state = read;
    halted = undefined;
    claimed = false;
    options.onOpen?.(read, opened);
    opened = true;
    // The first append is the claim of the lead: whoever led before cannot write any more.
    const claim: Waiting = {
      input: { kind: 'started', version: options.version },
      resolve: () => {
        claimed = true;
        journal.remember().catch((caught) => log.warn(toFleetError(caught).message));
      },
      reject: () => undefined,
    };
    inbox.putFirst([claim]);
    working ??= work();
    begun.resolve();
    notify();
  }

  /** Decides everything that waits, appends once, then performs the effects and answers the callers. */
  async function turn(): Promise<void> {
    const before = known();
    const { state: after, decided, refused } = decideAll(before, inbox.takeAll(), options.observe);
    const events = decided.flatMap(({ decision }) => decision.events);
    try {
      inAppend = decided.map(({ waiting }) => waiting).filter(({ input }) => isCall(input));
      if (events.length > 0) await journal.append(events);
      else if (refused.length > 0 || decided.some(isSeenOutside))
        await confirmLeadFor({ journal, clock, signal: closing.signal });
    } catch (caught) {
      for (const { waiting, error } of refused) waiting.reject(error);
      const error = toFleetError(caught);
      const full = error.code === 'resourceExhausted';
      const outcome = afterFailedAppend(
        error,
        decided.map(({ waiting }) => waiting),
      );
      for (const { reject } of outcome.refused) reject(full ? (refusal ?? error) : error);
      if (!full) throw error;
      inbox.putFirst(outcome.again);
      notify();
      await clock.sleep(delayMs(WAIT_FOR_ROOM, 1), closing.signal);
      return;
    } finally {
      inAppend = [];
    }
    state = after;
    for (const { waiting, error } of refused) waiting.reject(error);
    showEach(events, before);
    for (const { waiting, decision } of decided) {
      for (const effect of decision.effects) options.perform(effect);
      waiting.resolve(decision.answer);
    }
    if (events.length > 0) notify();
  }

  function showEach(events: readonly Event[], before: State): void {
    let at = before;
    for (const event of events) {
      const next = evolve(at, event);
      options.onEvent?.(event, at, next);
      at = next;
    }
  }

  async function work(): Promise<void> {
    // One microtask turn before each group, so that inputs that arrive together are journalled together.
    await Promise.resolve();
    try {
      while (inbox.size > 0 && stopped === undefined && halted === undefined) await turn();
    } catch (caught) {
      if (!closing.signal.aborted) failWriting(toFleetError(caught));
    } finally {
      working = undefined;
    }
  }

  void open();
  return {
    get state() {
      return known();
    },
    get halted() {
      return halted;
    },
    get known() {
      return state;
    },
    get leads() {
      return halted === undefined && stopped === undefined && claimed;
    },
    submit(input) {
      const isTroubled = journal.trouble !== undefined;
      const isWorking = working !== undefined;
      const standing = { stopped, halted, refusal, isTroubled, isWorking, queued: inbox.size };
      const admission = admissionOf(input, standing);
      if (admission.kind === 'refuse') return Promise.reject(admission.error);
      if (admission.kind === 'drop') return Promise.resolve(undefined);
      const answer = inbox.put(input);
      if (halted === undefined) working ??= work();
      return answer;
    },
    get refusal() {
      return halted ?? refusal;
    },
    refuse(error) {
      refusal = error;
      if (error === undefined) return;
      const isTroubled = journal.trouble !== undefined;
      inbox.reject(error, (input) => isRefusedByStore(input, isTroubled));
      if (!isTroubled) return;
      const open = `${error.message}; what was asked may have been taken: look before it is asked again`;
      for (const { reject } of inAppend) reject(new FleetError(error.code, open, { cause: error }));
    },
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    touch: notify,
    async confirmLead() {
      if (stopped !== undefined || halted !== undefined || working !== undefined) return;
      try {
        await journal.confirmLead();
      } catch (caught) {
        const error = toFleetError(caught);
        // A broker that does not answer now is asked again; only what was written by others is final.
        if (error.retryable && error.code !== 'aborted') return;
        if (halted === undefined) failWriting(error);
      }
    },
    begun: begun.promise,
    failed: failed.promise,
    async close() {
      closing.abort(new FleetError('cancelled', 'the coordinator is stopping'));
      journal.close();
      await working;
      stop(new FleetError('unavailable', 'the coordinator is stopping'));
    },
  };
}
