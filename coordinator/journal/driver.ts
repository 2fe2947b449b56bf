// The thin part around the core: a queue of inputs, each given to step(), the events of all that are waiting appended as
// one group, then their effects performed. It keeps what is volatile (who is connected, how far steps are) and decides
// nothing about runs. What stops it is told apart here: a lead that is lost ends it for good; a journal that is damaged
// halts it until the journal was repaired; a store that is full makes callers come back later, and everything else wait.

import type { Clock } from '../../core/clock.ts';
import { FleetError, toFleetError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import { type Decision, step } from '../decisions/decide.ts';
import type { Answer, Effect, Input } from '../decisions/inputs.ts';
import type { Event } from '../model/events.ts';
import { evolve } from '../model/evolve.ts';
import type { Observed } from '../model/observed.ts';
import { initialState, type State } from '../model/state.ts';
import type { Journal } from './journal.ts';
import { damageAt } from './journal-reader.ts';

export interface Driver {
  /** The state with everything that is on disk and can be read; throws `unavailable` before anything was read. */
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
   * With an error: no `submit` is taken, and while the journal cannot be written no other call either; those that wait hear
   * it too. Undefined: calls are taken again.
   */
  refuse(error: FleetError | undefined): void;
  /** Called after each group and each volatile change, at most once a microtask turn. */
  onChange(listener: () => void): () => void;
  /** Something volatile changed: progress, a connection. */
  touch(): void;
  /** Asks the broker whether this coordinator still leads; what it finds is told by `failed` or `halted`. */
  confirmLead(): Promise<void>;
  /** Resolves when the journal was read for the first time, or cannot be read now: `halted` says why. */
  readonly begun: Promise<void>;
  /** Resolves when the lead is lost or the broker refuses for good; never otherwise. */
  readonly failed: Promise<FleetError>;
  close(): Promise<void>;
}

interface Waiting {
  readonly input: Input;
  readonly resolve: (answer: Answer | undefined) => void;
  readonly reject: (error: FleetError) => void;
}

/** Inputs that may wait; beyond it the caller is told to come back. */
const QUEUE_MAX = 100_000;
/** Between two looks at a journal that cannot be read, and between two tries of a group that a full store refused. */
const LOOK_AGAIN_MS = 1_000;

/** Somebody waits for the answer and can ask again; all other inputs are facts that must not be forgotten. */
const isCall = ({ input }: { readonly input: Input }): boolean =>
  input.kind === 'submit' || input.kind === 'cancel';

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
  let queue: Waiting[] = [];
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
  let begin: () => void;
  const begun = new Promise<void>((resolve) => {
    begin = resolve;
  });
  let fail: (error: FleetError) => void;
  const failed = new Promise<FleetError>((resolve) => {
    fail = resolve;
  });

  const isRefused = (waiting: { readonly input: Input }): boolean =>
    waiting.input.kind === 'submit' || (isCall(waiting) && journal.trouble !== undefined);

  const known = (): State => {
    if (state === undefined) throw halted ?? new FleetError('unavailable', 'the journal is being read');
    return state;
  };

  function notify(): void {
    for (const listener of listeners) listener();
  }

  function rejectAll(error: FleetError): void {
    const waiting = queue;
    queue = [];
    for (const { reject } of waiting) reject(error);
  }

  function stop(error: FleetError): void {
    stopped ??= error;
    rejectAll(error);
  }

  /** What follows from an error of the journal, whoever met it. */
  function judge(error: FleetError): void {
    if (stopped !== undefined) return;
    if (error.code === 'dataLoss' || error.code === 'cancelled') {
      halt(error);
      return;
    }
    stop(error);
    fail(error);
  }

  function halt(error: FleetError): void {
    halted = error.code === 'dataLoss' ? error : new FleetError('unavailable', error.message);
    log.error({ code: error.code, sequence: journal.sequence }, error.message);
    rejectAll(halted);
    notify();
    void open();
  }

  /** Folds the journal; what is readable stays for reads when the rest is not. */
  async function replay(): Promise<State> {
    const startedAt = clock.monotonic();
    let folded = initialState;
    try {
      await options.prepare();
      await journal.prepare();
      for await (const event of journal.replay()) folded = foldedWith(folded, event);
    } catch (caught) {
      // A state that was whole says more than the part of it that can still be read.
      if (toFleetError(caught).code === 'dataLoss') state ??= folded;
      throw caught;
    }
    const ms = Math.round(clock.monotonic() - startedAt);
    log.info({ events: folded.events, sequence: journal.sequence, ms }, 'journal replayed');
    return folded;
  }

  function foldedWith(before: State, event: Event): State {
    try {
      return evolve(before, event);
    } catch (caught) {
      const what = caught instanceof Error ? caught.message : String(caught);
      throw damageAt(journal.sequence, `its ${event.kind} event does not fit what came before (${what})`);
    }
  }

  /** Reads the journal until that succeeds; a damaged one is looked at again when it has changed. */
  async function open(): Promise<void> {
    let toldOf = halted?.code === 'dataLoss' ? halted.message : '';
    let seen: string | undefined;
    while (!closing.signal.aborted) {
      try {
        const print = await journal.fingerprint().catch(() => undefined);
        if (print === undefined || print !== seen || halted?.code !== 'dataLoss') {
          const read = await replay();
          if (closing.signal.aborted) return;
          enter(read);
          return;
        }
      } catch (caught) {
        const error = toFleetError(caught);
        if (closing.signal.aborted) return;
        if (!error.retryable && error.code !== 'dataLoss') {
          stop(error);
          begin();
          fail(error);
          return;
        }
        halted = error;
        seen = await journal.fingerprint().catch(() => undefined);
        if (toldOf !== error.message) log.error({ code: error.code }, error.message);
        toldOf = error.message;
        if (error.code === 'dataLoss') rejectAll(error);
        notify();
        begin();
      }
      await clock.sleep(LOOK_AGAIN_MS, closing.signal).catch(() => undefined);
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
    queue.unshift(claim);
    working ??= work();
    begin();
    notify();
  }

  /** Decides everything that waits, appends once, then tells everybody. */
  async function turn(): Promise<void> {
    const before = known();
    let after = before;
    const decided: { waiting: Waiting; decision: Decision }[] = [];
    const taken = queue;
    queue = [];
    for (const waiting of taken) {
      try {
        const decision = step(after, waiting.input, options.observe());
        after = decision.state;
        decided.push({ waiting, decision });
      } catch (caught) {
        // A refusal leaves the state as it was; anything else is a mistake of ours and must be seen.
        if (!(caught instanceof FleetError)) throw caught;
        waiting.reject(caught);
      }
    }
    const events = decided.flatMap(({ decision }) => decision.events);
    try {
      inAppend = decided.map(({ waiting }) => waiting).filter(isCall);
      if (events.length > 0) await journal.append(events);
    } catch (caught) {
      const error = toFleetError(caught);
      const waiting = decided.map((each) => each.waiting);
      if (error.code !== 'resourceExhausted') {
        // Nothing of it took effect; their callers hear it.
        for (const { reject } of waiting) reject(error);
        throw error;
      }
      // Nothing is stored: callers may ask again, facts wait for room, and time passes by itself.
      for (const { reject } of waiting.filter(isCall)) reject(refusal ?? error);
      queue.unshift(...waiting.filter((each) => !isCall(each) && each.input.kind !== 'tick'));
      notify();
      await clock.sleep(LOOK_AGAIN_MS, closing.signal);
      return;
    } finally {
      inAppend = [];
    }
    state = after;
    observe(events, before);
    for (const { waiting, decision } of decided) {
      for (const effect of decision.effects) options.perform(effect);
      waiting.resolve(decision.answer);
    }
    if (events.length > 0) notify();
  }

  function observe(events: readonly Event[], before: State): void {
    let at = before;
    for (const event of events) {
      const next = evolve(at, event);
      options.onEvent?.(event, at, next);
      at = next;
    }
  }

  async function work(): Promise<void> {
    // One breath before each group, so that inputs that arrive together are journalled together.
    await Promise.resolve();
    try {
      while (queue.length > 0 && stopped === undefined && halted === undefined) await turn();
    } catch (caught) {
      if (!closing.signal.aborted) judge(toFleetError(caught));
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
      if (stopped !== undefined) return Promise.reject(stopped);
      if (halted?.code === 'dataLoss') return Promise.reject(halted);
      if (isCall({ input }) && halted !== undefined) return Promise.reject(halted);
      if (refusal !== undefined && isRefused({ input })) return Promise.reject(refusal);
      if (queue.length >= QUEUE_MAX)
        return Promise.reject(
          new FleetError('resourceExhausted', `${queue.length} inputs wait for the journal; try again later`),
        );
      // While nothing can be decided the passing of time is no news.
      const waits = working !== undefined && journal.trouble !== undefined;
      if (input.kind === 'tick' && (halted !== undefined || waits)) return Promise.resolve(undefined);
      return new Promise((resolve, reject) => {
        queue.push({ input, resolve, reject });
        if (halted === undefined) working ??= work();
      });
    },
    get refusal() {
      return halted ?? refusal;
    },
    refuse(error) {
      refusal = error;
      if (error === undefined) return;
      for (const { reject } of queue.filter(isRefused)) reject(error);
      queue = queue.filter((waiting) => !isRefused(waiting));
      if (journal.trouble === undefined) return;
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
        if (halted === undefined) judge(error);
      }
    },
    begun,
    failed,
    async close() {
      closing.abort(new FleetError('cancelled', 'the coordinator is stopping'));
      journal.close();
      await working;
      stop(new FleetError('unavailable', 'the coordinator is stopping'));
    },
  };
}
