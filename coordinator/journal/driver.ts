// The thin part around the pure core: the coordinator as one thing that takes inputs and has a state. It reads
// the journal, stands by until it may lead, leads until it may not, and begins again. Decides only the order
// of these, and which of them follows an error; each has a file of its own.

import type { Clock } from '../../core/clock.ts';
import { createDeferred } from '../../core/deferred.ts';
import { FleetError, toFleetError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import type { Desk } from '../decisions/desk.ts';
import type { Answer, Effect, Input } from '../decisions/inputs.ts';
import type { Event } from '../model/events.ts';
import type { Observed } from '../model/observed.ts';
import type { State } from '../model/state.ts';
import { admissionOf, consequenceOf, isCall, isRefusedByStore } from './admission.ts';
import { createInbox, type Inbox } from './inbox.ts';
import type { Journal } from './journal.ts';
import { createLeading, type Leading } from './leading.ts';
import { type Lease, standbyError } from './lease.ts';
import { openJournalState } from './opening.ts';
import { createSeat, knownTo, type Seat } from './seat.ts';
import type { SnapshotStore } from './snapshots.ts';
import { standBy } from './standing-by.ts';

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
  /** It leads, or stands by with the journal read: it may lead at once. */
  readonly follows: boolean;
  /**
   * Why no call at all is answered here: the journal was not read yet, another coordinator leads, or this one
   * ends. Undefined while there is something to show.
   */
  readonly redirect: FleetError | undefined;
  /** Queues an input; resolves when what follows from it is on disk, rejects when it is refused. */
  submit(input: Input): Promise<Answer | undefined>;
  /** Why a `submit` would be refused now. */
  readonly refusal: FleetError | undefined;
  /**
   * With an error: no `submit` is taken, and while the journal cannot be written no other call either; those
   * that wait are rejected with it too. Undefined: calls are taken again.
   */
  refuse(error: FleetError | undefined): void;
  /**
   * Refuses every call with this error until the returned function is called, those that wait too; resolves once no
   * decision about one is being stored.
   */
  holdCalls(error: FleetError): Promise<() => void>;
  /** The listener is called after each group, each volatile change and each change of who leads. */
  onChange(listener: () => void): () => void;
  /** Something volatile changed: progress, a connection. */
  touch(): void;
  /**
   * Resolves when this coordinator leads or stands by for the first time, or when the journal cannot be read
   * now: `halted` shows why.
   */
  readonly begun: Promise<void>;
  /** Resolves when the broker refuses for good; never otherwise. */
  readonly failed: Promise<FleetError>;
  /** Decides nothing more, and lets another coordinator lead at once. */
  close(): Promise<void>;
}

/** What a driver is made of. */
export interface DriverOptions {
  readonly journal: Journal;
  readonly lease: Lease;
  /** Whether an imported journal waits to take the place of this one; absent: never. */
  readonly importWaits?: () => Promise<boolean>;
  readonly snapshots?: SnapshotStore;
  readonly clock: Clock;
  readonly log: Logger;
  readonly version: string;
  readonly observe: () => Observed;
  /** What decisions keep between each other. */
  readonly desk: Desk;
  readonly perform: (effect: Effect) => void;
  /** Before each reading of the journal: what must exist for it. */
  readonly prepare: () => Promise<void>;
  /** Before the first decision of a lead: what would hold up the event loop if decisions had to make it. */
  readonly beforeDecisions?: (state: State) => Promise<void>;
  /** Decisions begin, or go on after a pause, with this state: its workers are expected to dial. */
  readonly onLead: (state: State) => void;
  /** Nothing is decided here any more, perhaps only for now: workers are better off elsewhere. */
  readonly onLeave: (error: FleetError) => void;
  /** Another coordinator has written to the journal. */
  readonly onDeposed?: () => void;
  /** After each try to renew the lease of the lead, with how long it took, seconds. */
  readonly onLeaseRenewed?: (outcome: 'ok' | 'error', seconds: number) => void;
  /**
   * Sees each event once, after it is on disk; not those that were read. `after`: the state with everything
   * that was decided together.
   */
  readonly onEvent?: (event: Event, after: State) => void;
}

interface Parts extends DriverOptions {
  readonly seat: Seat;
  readonly leading: Leading;
  readonly signal: AbortSignal;
  /** There is something to show. */
  readonly onBegun: () => void;
}

/** Starts at once; everything goes on in the background, again and again until it is closed. */
export function createDriver(options: DriverOptions): Driver {
  const { journal, lease, log } = options;
  const inbox = createInbox();
  const seat = createSeat(inbox);
  let refusal: FleetError | undefined;
  let hold: FleetError | undefined;
  const closing = new AbortController();
  let hasBegun = false;
  const begun = createDeferred<void>();
  const onBegun = () => {
    hasBegun = true;
    begun.resolve();
  };
  const failed = createDeferred<FleetError>();
  const { signal } = closing;
  const onPause = options.onLeave;
  const leading = createLeading({
    ...{ ...options, seat, inbox, signal, onPause, onBegun },
    refusal: () => refusal,
  });
  const end = (error: FleetError) => seat.take({ kind: 'ended', error });
  const living = live({ ...options, seat, leading, signal, onBegun }).catch((caught) => {
    const error = toFleetError(caught);
    if (signal.aborted) return;
    end(error);
    onBegun();
    failed.resolve(error);
  });
  let closed: Promise<void> | undefined;
  return {
    get state() {
      return knownTo(seat);
    },
    get halted() {
      return seat.halted;
    },
    get known() {
      return seat.state;
    },
    get leads() {
      return seat.post.kind === 'leading' && seat.post.claimed;
    },
    get follows() {
      return hasBegun && seat.post.kind !== 'ended';
    },
    get redirect() {
      const { post } = seat;
      const isAway =
        post.kind === 'standby' || post.kind === 'ended' || (post.kind === 'reading' && !hasBegun);
      return isAway ? post.error : undefined;
    },
    submit: (input) => submit(input, { seat, inbox, leading, journal, refusal, hold }),
    get refusal() {
      return seat.halted ?? refusal;
    },
    refuse(error) {
      refusal = error;
      if (error !== undefined) refuseWaiting(error, { inbox, leading, journal });
    },
    async holdCalls(error) {
      hold = error;
      inbox.reject(error, isCall);
      while (leading.inAppend.length > 0) await options.clock.sleep(LOOK_AGAIN_MS, signal);
      return () => {
        hold = undefined;
      };
    },
    onChange: seat.onChange,
    touch: seat.changed,
    begun: begun.promise,
    failed: failed.promise,
    close() {
      closed ??= (async () => {
        const error = new FleetError('unavailable', 'the coordinator is stopping');
        closing.abort(error);
        journal.close();
        await living;
        end(error);
        await lease
          .release()
          .catch((caught) => log.warn(toFleetError(caught, 'giving the lease back').message));
      })();
      return closed;
    },
  };
}

/** Between two looks at whether an append has ended, milliseconds. */
const LOOK_AGAIN_MS = 10;

/** Takes an input in, or does with it what becomes of inputs now. */
function submit(
  input: Input,
  at: {
    readonly seat: Seat;
    readonly inbox: Inbox;
    readonly leading: Leading;
    readonly journal: Journal;
    readonly refusal: FleetError | undefined;
    readonly hold: FleetError | undefined;
  },
): Promise<Answer | undefined> {
  const { seat, inbox, leading, journal, refusal, hold } = at;
  if (hold !== undefined && isCall(input)) return Promise.reject(hold);
  const admission = admissionOf(input, {
    ...{ halted: seat.halted, refusal, isTroubled: journal.trouble !== undefined },
    ...{ queued: inbox.size, tickWaits: inbox.tickWaits },
  });
  if (admission.kind === 'refuse') return Promise.reject(admission.error);
  if (admission.kind === 'drop') return Promise.resolve(undefined);
  const answer = inbox.put(input);
  leading.wake();
  return answer;
}

/** A store that has become full refuses also what waits, and what is in an append that is tried again. */
function refuseWaiting(
  error: FleetError,
  {
    inbox,
    leading,
    journal,
  }: { readonly inbox: Inbox; readonly leading: Leading; readonly journal: Journal },
): void {
  const isTroubled = journal.trouble !== undefined;
  inbox.reject(error, (input) => isRefusedByStore(input, isTroubled));
  if (!isTroubled) return;
  const open = `${error.message}; what was asked may have been taken: look before it is asked again`;
  for (const { reject } of leading.inAppend) reject(new FleetError(error.code, open, { cause: error }));
}

/** Reads, stands by, leads, and begins again; rejects with an error that none of them survives. */
async function live(parts: Parts): Promise<void> {
  const { leading, signal } = parts;
  /** The journal must be read from its start, and what is wrong with it as far as is known. */
  let reading: { readonly reported?: FleetError } | undefined = {};
  while (!signal.aborted) {
    if (reading !== undefined) await read(parts, reading.reported);
    if (signal.aborted) return;
    const trouble = await standBy(parts);
    if (trouble !== undefined) {
      reading = { reported: halt(parts, trouble) };
      continue;
    }
    const { error, isExact } = await leading.lead();
    if (signal.aborted) return;
    if (error.code === 'aborted') {
      leave(parts, error);
      reading = isExact ? undefined : {};
    } else if (consequenceOf(error, 'writing') === 'again') reading = { reported: halt(parts, error) };
    else throw error;
  }
}

/** Reads the journal from its start, again and again until that succeeds. */
async function read(parts: Parts, reported: FleetError | undefined): Promise<void> {
  const { seat, onBegun } = parts;
  const state = await openJournalState({
    ...parts,
    reported,
    onTrouble(error, readable) {
      // A state that was whole shows more than the part of it that can still be read.
      if (seat.state === undefined && readable !== undefined) seat.know(readable);
      onBegun();
      seat.take({ kind: 'reading', error });
    },
  });
  if (state !== undefined) seat.know(state);
}

/** The journal is damaged or was cut off: nothing is decided until it was read again. */
function halt({ seat, log, journal }: Parts, found: FleetError): FleetError {
  const error = found.code === 'dataLoss' ? found : new FleetError('unavailable', found.message);
  log.error({ code: found.code, sequence: journal.sequence }, found.message);
  seat.take({ kind: 'reading', error });
  return error;
}

/** Another coordinator leads. */
function leave({ seat, log, onDeposed, onLeave }: Parts, error: FleetError): void {
  log.warn({ code: error.code }, error.message);
  const standby = standbyError(undefined);
  seat.take({ kind: 'standby', error: standby });
  onDeposed?.();
  onLeave(standby);
}
