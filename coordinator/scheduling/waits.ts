// What queued runs wait for, in words and as the label of a metric. Derived from the board when somebody
// asks, and once for all runs that need the same.

import { lookup } from '../model/persistent-map.ts';
import { type Avoided, numberOf, type RunState, type State, wholeRunWith } from '../model/state.ts';
import { isSuspect } from './blame.ts';
import { avoidedNow, type Board, byUrgency, chooseFree, fitsClass, keepsWorkers } from './board.ts';

/**
 * Why a run stays queued. The kind is a closed list, because it is the label of a metric; the reason is a
 * sentence with numbers for a person. Neither is journalled.
 */
export interface Wait {
  readonly kind: 'teacher_not_started' | 'stage_damaged' | 'model_mismatch' | 'insufficient_workers';
  readonly reason: string;
}

/** What a queued run waits for, and how many wait for what. */
export interface Waits {
  /** undefined: it does not wait. */
  of(runId: string): Wait | undefined;
  /** The number of queued runs by kind of wait. */
  counts(): ReadonlyMap<Wait['kind'], number>;
}

/** The waits of the board as it is now. */
export function waitsOf(board: Board): Waits {
  const byGroup = new Map<string, Wait>();
  const waitIn = (key: string, number: number): Wait => {
    const known = byGroup.get(key);
    if (known !== undefined) return known;
    const run = board.run(number);
    const obstacle = notStartable(board.state, run);
    const wait: Wait = obstacle ?? shortage(board, run);
    byGroup.set(key, wait);
    return wait;
  };
  return {
    of(runId) {
      const number = numberOf(runId);
      const group = board.queue.groupOf(number);
      return group && waitIn(group.key, number);
    },
    counts() {
      const counts = new Map<Wait['kind'], number>();
      for (const { key, numbers } of board.queue.groups()) {
        const { kind } = waitIn(key, numbers.first()!);
        counts.set(kind, (counts.get(kind) ?? 0) + numbers.size);
      }
      return counts;
    },
  };
}

/**
 * Why a run cannot start whatever workers are free: a student needs a teacher that has begun or has stored a
 * checkpoint, and a stored stage that cannot be read is computed again first.
 */
export function notStartable(state: State, run: RunState): Wait | undefined {
  const { waitsForStage, teacherRunId } = run;
  if (waitsForStage !== undefined && lookup(state.damaged, waitsForStage) !== undefined)
    return { kind: 'stage_damaged', reason: run.reason };
  if (teacherRunId === undefined) return undefined;
  const teacher = wholeRunWith(state, teacherRunId);
  if (teacher === undefined) return undefined;
  return teacher.state === 'running' || teacher.state === 'done' || teacher.checkpoints.length > 0
    ? undefined
    : { kind: 'teacher_not_started', reason: `queued: its teacher ${teacher.id} has not started` };
}

/** What keeps a run from the workers that it needs. */
function shortage(board: Board, run: RunState): Wait {
  const { pools } = board;
  const { min } = run.job.workers;
  const free = chooseFree(board, run, { count: min, isClosed: () => false }).length;
  const unfit = pools.all().filter((pool) => !fitsClass(run, pool));
  const random = unfit.filter((pool) => !pool.isDeterministic).reduce((sum, { live }) => sum + live, 0);
  const others = unfit.reduce((sum, { live }) => sum + live, 0) - random;
  const avoided = avoidedNow(board, run);
  const keeper = free < min ? undefined : keeperFrom(board, run);
  const parts = [
    keeper === undefined
      ? ''
      : `kept for ${keeper.id}, which needs ${keeper.job.workers.min} and has waited for ${Math.floor((board.observed.now - keeper.queuedAtMs) / 1000)} s`,
    pools.live === 0 ? 'no worker is connected' : '',
    busyText(board, run, avoided),
    avoided.length > 0 ? avoidedText(avoided) : '',
    others > 0 ? `${others} of another device class than ${run.deviceClass}` : '',
    random > 0
      ? `${random} whose GPU gives other bits each time (start it with TF_DETERMINISTIC_OPS=1, or submit with training.exact: false)`
      : '',
  ].filter((part) => part !== '');
  const why = parts.length > 0 ? parts.join(', ') : `${pools.live} connected, more are needed`;
  return {
    kind: others > 0 ? 'model_mismatch' : 'insufficient_workers',
    reason: `queued: ${free} of ${min} workers: ${why}`,
  };
}

/** A more urgent run that workers are kept for which this one could use. */
function keeperFrom(board: Board, run: RunState): RunState | undefined {
  const pools = board.pools.all().filter((pool) => fitsClass(run, pool));
  for (const { numbers } of board.queue.groups()) {
    const other = board.run(numbers.first()!);
    const isBefore = byUrgency(other, run) < 0;
    if (isBefore && keepsWorkers(board, other) && pools.some((pool) => fitsClass(other, pool))) return other;
  }
  return undefined;
}

function busyText(board: Board, run: RunState, avoided: readonly Avoided[]): string {
  const { pools } = board;
  const suspect = isSuspect(run, board.observed);
  let busy = 0;
  for (const pool of pools.all()) {
    if (!fitsClass(run, pool)) continue;
    busy += pool.live - (suspect ? pool.idle : pool.free);
  }
  for (const { workerId } of avoided) {
    const seat = pools.seatOf(workerId)!;
    const isFree = seat.held < seat.slots && !seat.isTaken && (!suspect || seat.held === 0);
    if (!isFree && lookup(board.state.workers, workerId) !== undefined) busy -= 1;
  }
  if (busy <= 0) return '';
  const whole = suspect ? ' (it needs whole workers, since it may be what killed others)' : '';
  return `${busy} without a free slot${whole}`;
}

/** Which workers the run is kept from for a while, and what went wrong there last. */
function avoidedText(avoided: readonly Avoided[]): string {
  const times = (one: Avoided) => (one.failures > 1 ? ` ${one.failures} times` : '');
  const who = avoided.map((one) => `${one.workerId}${times(one)}`).join(', ');
  const last = avoided.reduce((a, b) => (b.untilMs > a.untilMs ? b : a));
  return `${who} could not go on with it and will be tried again (${last.workerId}: ${last.reason})`;
}
