// What a leader does, from its claim to the loss of the lead: all inputs that wait are decided together, their
// events are appended as one group, and only then do effects leave and callers get their answers. One append
// for all that wait is what makes durability cheap: it costs one disk sync a group, not one an event.
//
// It decides nothing about runs. It decides that the first group begins with the claim, which keeps whoever
// led before from writing, and that a leader whom the broker does not answer any more takes nothing in.

import { type Clock, forwardTime } from '../../core/clock.ts';
import { FleetError, toFleetError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import { delayMs, WAIT_FOR_ROOM } from '../../core/retry.ts';
import { type Desk, dropUndecided } from '../decisions/desk.ts';
import { decideGroup } from '../decisions/group.ts';
import type { Effect } from '../decisions/inputs.ts';
import type { Event } from '../model/events.ts';
import type { Observed } from '../model/observed.ts';
import type { State } from '../model/state.ts';
import { afterFailedAppend, consequenceOf, isCall } from './admission.ts';
import type { Inbox, Waiting } from './inbox.ts';
import type { Journal } from './journal.ts';
import { confirmLeadFor, isSeenOutside } from './lead-confirmation.ts';
import { LEASE_MS, LEASE_RENEW_MS, type Lease } from './lease.ts';
import { knownTo, type Seat } from './seat.ts';

/** What the leader needs. */
export interface LeadingParts {
  readonly journal: Journal;
  readonly lease: Lease;
  readonly seat: Seat;
  readonly inbox: Inbox;
  readonly clock: Clock;
  readonly log: Logger;
  readonly version: string;
  readonly signal: AbortSignal;
  /** Why a full store takes nothing that is new now. */
  readonly refusal: () => FleetError | undefined;
  readonly observe: () => Observed;
  /** What decisions keep between each other. */
  readonly desk: Desk;
  readonly perform: (effect: Effect) => void;
  /** Sees each event once, after it is on disk, with the state after all that was decided together. */
  readonly onEvent?: ((event: Event, after: State) => void) | undefined;
  /** Decisions begin, or go on after a pause, with this state: workers are expected to dial. */
  readonly onLead: (state: State) => void;
  /** Nothing is taken in any more: workers are better off with another coordinator. */
  readonly onPause: (error: FleetError) => void;
  /** There is something to show. */
  readonly onBegun: () => void;
}

/** The lead of one coordinator. */
export interface Leading {
  /** A group is being decided or appended. */
  readonly isWorking: boolean;
  /** Inputs wait. */
  wake(): void;
  /** Callers whose decision is in the append under way. */
  readonly inAppend: readonly Waiting[];
  /** Claims the lead and decides until that ends, also when the signal is aborted. */
  lead(): Promise<End>;
}

/** How a lead has ended. */
export interface End {
  readonly error: FleetError;
  /** false: a part of the last group is in the journal and not in the state. */
  readonly isExact: boolean;
}

/**
 * Inputs that are decided together at most: what waits behind them, and everything else of this process, gets
 * its turn after some milliseconds.
 */
const INPUTS_AT_ONCE = 256;
/**
 * Rest after a slice of a search that found nothing, milliseconds: several times what a slice takes, because a
 * search may go on for days.
 */
const SEARCH_REST_MS = 40;

/** Leads when it is asked to, as often as it is. */
export function createLeading(parts: LeadingParts): Leading {
  const { journal, seat, inbox, clock, signal } = parts;
  let working = false;
  let inAppend: readonly Waiting[] = [];
  let wake: () => void = () => undefined;
  /** The last group left something undecided. */
  let isUnfinished = false;
  /** And nothing came of it: a strategy looks for a candidate that is rare. */
  let isSearching = false;
  /** Sequence of the last message whose events are in the state. */
  let foldedTo = 0;
  /** The time of decisions: a wall clock that was set back would keep them waiting until it has caught up. */
  let now = clock.now;

  /** Decides everything that waits, appends or confirms once, then performs the effects and answers. */
  async function turn(): Promise<void> {
    const before = knownTo(seat);
    const { desk } = parts;
    const observe = () => ({ ...parts.observe(), now: now() });
    const inputs = inbox.take(INPUTS_AT_ONCE);
    const group = decideGroup(before, inputs, observe, desk, journal.refusalOf);
    const { state: after, decided, refused, events, effects } = group;
    try {
      inAppend = decided.map(({ waiting }) => waiting).filter(({ input }) => isCall(input));
      if (events.length > 0) await journal.append(events, group.ends);
      else if (refused.length > 0 || effects.length > 0 || decided.some(isSeenOutside))
        await confirmLeadFor({ journal, clock, signal });
    } catch (caught) {
      const error = toFleetError(caught);
      dropUndecided(desk);
      for (const { waiting, error: own } of refused)
        waiting.reject(error.code === 'aborted' ? lostLead(error) : own);
      await afterFailure(
        error,
        decided.map(({ waiting }) => waiting),
      );
      return;
    } finally {
      inAppend = [];
    }
    seat.know(after);
    foldedTo = journal.sequence;
    for (const { waiting, error } of refused) waiting.reject(error);
    isUnfinished = group.isUnfinished;
    isSearching = isUnfinished && events.length === 0;
    for (const event of events) parts.onEvent?.(event, after);
    for (const { waiting, decision } of decided) {
      for (const effect of decision.effects) parts.perform(effect);
      waiting.resolve(decision.answer);
    }
    for (const effect of effects) parts.perform(effect);
    if (events.length > 0 || isSearching) seat.changed();
  }

  /** A full store is waited for; whatever else the journal reports is the end of this lead. */
  async function afterFailure(error: FleetError, group: readonly Waiting[]): Promise<void> {
    const full = error.code === 'resourceExhausted';
    const outcome = afterFailedAppend(error, group);
    const reason = full ? (parts.refusal() ?? error) : lostLead(error);
    for (const { reject } of outcome.refused) reject(reason);
    if (!full) throw error;
    inbox.putFirst(outcome.again);
    seat.changed();
    await clock.sleep(delayMs(WAIT_FOR_ROOM, 1), signal);
  }

  /** Decides group by group; rejects with the reason of the end. */
  async function decide(ending: AbortSignal): Promise<never> {
    for (;;) {
      ending.throwIfAborted();
      const mayGoOn = isUnfinished && !isSearching;
      if ((inbox.size === 0 && !mayGoOn) || seat.halted !== undefined) {
        const woken = new Promise<void>((resolve) => {
          wake = resolve;
        });
        const rested = isSearching ? clock.sleep(SEARCH_REST_MS, ending) : woken;
        await untilEither(Promise.race([woken, rested]), ending);
        isSearching = false;
        continue;
      }
      working = true;
      try {
        // One microtask turn before each group, so that inputs that arrive together are journalled together.
        await Promise.resolve();
        await turn();
      } finally {
        working = false;
      }
    }
  }

  return {
    get isWorking() {
      return working;
    },
    get inAppend() {
      return inAppend;
    },
    wake: () => wake(),
    async lead() {
      const ending = new AbortController();
      const onStop = () => ending.abort(signal.reason);
      if (signal.aborted) onStop();
      signal.addEventListener('abort', onStop, { once: true });
      foldedTo = journal.sequence;
      now = forwardTime(clock, knownTo(seat).lastMs);
      isUnfinished = false;
      dropUndecided(parts.desk);
      const reign = begin(parts);
      const watch = {
        ...parts,
        ...reign,
        until: ending.signal,
        isWorking: () => working,
        wake: () => wake(),
      };
      const both = [decide(ending.signal), keepLease(watch)];
      const error = await Promise.race(both).catch(toFleetError);
      ending.abort(error);
      await Promise.allSettled(both);
      signal.removeEventListener('abort', onStop);
      return { error, isExact: journal.sequence === foldedTo };
    },
  };
}

/** One time of leading: whether its first append is stored. */
interface Reign {
  readonly isClaimed: () => boolean;
}

/** Takes the post. The first append is the claim of the lead: whoever led before cannot write any more. */
function begin({ journal, seat, inbox, log, version, onLead, onBegun }: LeadingParts): Reign {
  let claimed = false;
  seat.take({ kind: 'leading', claimed });
  const claim: Waiting = {
    input: { kind: 'started', version },
    resolve() {
      claimed = true;
      log.info({ epoch: seat.state?.epoch, sequence: journal.sequence }, 'this coordinator leads');
      if (seat.post.kind === 'leading') seat.take({ kind: 'leading', claimed });
      journal.remember().catch((caught) => log.warn(toFleetError(caught).message));
    },
    reject: () => undefined,
  };
  inbox.putFirst([claim]);
  onLead(knownTo(seat));
  onBegun();
  return { isClaimed: () => claimed };
}

/**
 * Renews the lease, and looks each time whether the journal is still as this coordinator left it, since one
 * that has nothing to append would not notice that it lost the lead. Rejects when it has.
 */
async function keepLease(
  parts: LeadingParts &
    Reign & {
      readonly until: AbortSignal;
      readonly isWorking: () => boolean;
      readonly wake: () => void;
    },
): Promise<never> {
  const { journal, lease, seat, clock, log, until } = parts;
  let answeredMs = clock.monotonic();
  for (;;) {
    await clock.sleep(LEASE_RENEW_MS, until);
    try {
      await lease.hold(knownTo(seat).epoch);
      // A group that is under way finds out for itself.
      if (!parts.isWorking()) await journal.confirmLead();
      answeredMs = clock.monotonic();
      if (seat.post.kind === 'cutOff') goOn(parts);
    } catch (caught) {
      const error = toFleetError(caught);
      // A lease that cannot be renewed is no lost lead; what was written to the journal is.
      if (consequenceOf(error, 'writing') === 'again' || error.code === 'aborted') throw error;
      const silentMs = clock.monotonic() - answeredMs;
      if (seat.post.kind === 'leading' && silentMs >= LEASE_MS) pause(parts, error, silentMs);
      log.debug({ code: error.code }, error.message);
    }
  }
}

/** Another coordinator may lead by now, so that workers must be free to find it. */
function pause({ seat, log, onPause }: LeadingParts, cause: FleetError, silentMs: number): void {
  const error = new FleetError(
    'unavailable',
    `the broker has not answered for ${Math.round(silentMs / 1000)} s (${cause.message}), and another coordinator may lead by now; nothing is decided here until it answers`,
    { cause, details: { standby: true } },
  );
  log.warn(error.message);
  seat.take({ kind: 'cutOff', error });
  onPause(error);
}

function goOn({ seat, log, onLead, isClaimed, wake }: LeadingParts & Reign & { wake(): void }): void {
  log.info('the broker answers again, and this coordinator still leads');
  seat.take({ kind: 'leading', claimed: isClaimed() });
  onLead(knownTo(seat));
  wake();
}

/** What a caller reads whose input was in a group of a coordinator that had lost the lead: it may ask again. */
function lostLead(error: FleetError): FleetError {
  if (error.code !== 'aborted') return error;
  return new FleetError('unavailable', `${error.message}; ask the coordinator that leads now`, {
    cause: error,
    details: { standby: true },
  });
}

/** Resolves with the promise, rejects with the signal's reason when that comes first. */
async function untilEither(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  let onAbort: (() => void) | undefined;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    await Promise.race([promise, aborted]);
  } finally {
    if (onAbort !== undefined) signal.removeEventListener('abort', onAbort);
  }
}
