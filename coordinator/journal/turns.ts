// One turn of a leader: everything that waits is decided together, its events are appended as one group, and
// only then do effects leave and callers get their answers. One append for all that wait is what makes
// durability cheap: it costs one disk sync a group, not one an event. Decides what becomes of a group that
// cannot be stored.

import { type Clock, forwardTime } from '../../core/clock.ts';
import { FleetError, toFleetError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import { delayMs, WAIT_FOR_ROOM } from '../../core/retry.ts';
import { type Desk, dropUndecided } from '../decisions/desk.ts';
import { decideGroup } from '../decisions/group.ts';
import type { Effect } from '../decisions/inputs.ts';
import type { Event } from '../model/events.ts';
import type { Jump, Observed } from '../model/observed.ts';
import { openRuns, type State } from '../model/state.ts';
import { afterFailedAppend, isCall } from './admission.ts';
import type { Inbox, Waiting } from './inbox.ts';
import type { Journal } from './journal.ts';
import { confirmLeadFor, isSeenOutside } from './lead-confirmation.ts';
import type { Lease } from './lease.ts';
import { knownTo, type Seat } from './seat.ts';

/** What a turn needs. */
export interface TurnParts {
  readonly journal: Journal;
  readonly lease: Pick<Lease, 'isFresh'>;
  readonly seat: Seat;
  readonly inbox: Inbox;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** Why a full store takes nothing that is new now. */
  readonly refusal: () => FleetError | undefined;
  readonly observe: () => Observed;
  /** What decisions keep between each other. */
  readonly desk: Desk;
  readonly perform: (effect: Effect) => void;
  /** Sees each event once, after it is on disk, with the state after all that was decided together. */
  readonly onEvent?: ((event: Event, after: State) => void) | undefined;
}

/**
 * What the last turn left undecided: nothing; something to go on with at once; or a search for a candidate that
 * is rare, of which nothing came yet.
 */
export type Left = 'nothing' | 'work' | 'search';

/** The turns of one coordinator. */
export interface Turns {
  readonly left: Left;
  /** Callers whose decision is in the append under way. */
  readonly inAppend: readonly Waiting[];
  /** Everything that is in the journal is in the state too. */
  readonly isExact: boolean;
  /** A lead begins: its state is that of the journal, and nothing of an earlier one is left. */
  begin(): void;
  /** Decides, stores and performs one group; rejects with what ends the lead. */
  take(): Promise<void>;
}

/**
 * Inputs that are decided together at most: what waits behind them, and everything else of this process, gets
 * its turn after some milliseconds.
 */
const INPUTS_AT_ONCE = 256;

/** A clock that is so much ahead of the time that has passed has jumped, milliseconds; workers miss reports for as long. */
const JUMP_MS = 5_000;
/** Without an event for so long nobody led, milliseconds: `worker.spent` comes every two minutes at least. */
const AWAY_MS = 180_000;

/** No turn was taken yet. */
export function createTurns(parts: TurnParts): Turns {
  const { journal, lease, seat, inbox, clock, signal } = parts;
  let inAppend: readonly Waiting[] = [];
  let left: Left = 'nothing';
  /** Sequence of the last message whose events are in the state. */
  let foldedTo = 0;
  /** What has failed last without an input, so that each failure is logged once. */
  let failedBefore = '';
  /** The time of decisions: a wall clock that was set back would keep them waiting until it has caught up. */
  let now = clock.now;
  /** Time that passed on the clock alone, the last of it. */
  let jump: Jump | undefined;

  /** Decides everything that waits, appends or confirms once, then performs the effects and answers. */
  async function take(): Promise<void> {
    const before = knownTo(seat);
    const { desk } = parts;
    const observe = () => {
      const at = now();
      return { ...parts.observe(), now: at, jump };
    };
    const inputs = inbox.take(INPUTS_AT_ONCE);
    const group = decideGroup(before, inputs, observe, desk, journal.refusalOf);
    const { state: after, decided, refused, events, effects } = group;
    report(group.failures);
    try {
      inAppend = decided.map(({ waiting }) => waiting).filter(({ input }) => isCall(input));
      if (events.length > 0) await journal.append(events, group.ends);
      else if (refused.length > 0 || effects.length > 0 || decided.some(isSeenOutside))
        await confirmLeadFor({ journal, lease, clock, signal });
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
    left = leftBy(group);
    for (const event of events) parts.onEvent?.(event, after);
    for (const { waiting, decision } of decided) {
      for (const effect of decision.effects) parts.perform(effect);
      waiting.resolve(decision.answer);
    }
    for (const effect of effects) parts.perform(effect);
    if (events.length > 0 || left === 'search') seat.changed();
  }

  /** The same mistake comes with each turn until something has changed. */
  function report(failures: readonly FleetError[]): void {
    const failed = failures.map(({ message }) => message).join('\n');
    if (failed !== failedBefore)
      for (const error of failures) parts.log.error({ err: error }, `${error.message}; it does not happen`);
    failedBefore = failed;
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

  return {
    get left() {
      return left;
    },
    get inAppend() {
      return inAppend;
    },
    get isExact() {
      return journal.sequence === foldedTo;
    },
    begin() {
      foldedTo = journal.sequence;
      const { lastMs } = knownTo(seat);
      jump = undefined;
      const jumped = (ms: number, toMs: number, reason: string) => {
        // Without a run nobody would be charged.
        if (openRuns(knownTo(seat)).length > 0) jump = { fromMs: toMs - ms, toMs, reason };
      };
      const away = clock.now() - lastMs;
      if (away > AWAY_MS) jumped(away, clock.now(), 'no coordinator was there');
      now = forwardTime(clock, lastMs, (ms, toMs) => {
        if (ms > JUMP_MS) jumped(ms, toMs, 'the clock of the machine was set ahead, or the machine slept');
      });
      left = 'nothing';
      dropUndecided(parts.desk);
    },
    take,
  };
}

function leftBy({
  isUnfinished,
  events,
}: {
  readonly isUnfinished: boolean;
  readonly events: readonly Event[];
}): Left {
  if (!isUnfinished) return 'nothing';
  return events.length === 0 ? 'search' : 'work';
}

/** What a caller reads whose input was in a group of a coordinator that had lost the lead: it may ask again. */
function lostLead(error: FleetError): FleetError {
  if (error.code !== 'aborted') return error;
  return new FleetError('unavailable', `${error.message}; ask the coordinator that leads now`, {
    cause: error,
    details: { standby: true },
  });
}
