// How a run that finds too few workers, also of gangs that can spare members, gets those of gangs that have some of it
// on loan, of students that wait for their teachers, and of gangs of lower priority: they pause, and are queued again.
// Decides which gangs do, and how often one has to. Nothing pauses unless the run is whole then; while gangs pause for
// it, their workers are kept for it (reservation.ts).

import { awaitedStage } from '../model/holds.ts';
import { numberOf, priorityOf, type RunState, storedStep } from '../model/state.ts';
import { isSuspect } from './blame.ts';
import {
  avoidedNow,
  type Board,
  CHANGE_INTERVAL_MS,
  isSettled,
  NO_FURTHER_MS_MAX,
  needsOneClass,
  PREEMPTED_AGAIN_MS,
} from './board.ts';
import { isExclusive } from './devices.ts';
import { fitsClass } from './fit.ts';
import type { Plan } from './plan.ts';
import type { Seat } from './pools.ts';
import { holdingsOf } from './reclaim.ts';

/**
 * Whether a gang may be told to pause: it trains, all its members are there, and it has got further since it last had
 * to, so that a step or round that takes long is not begun for ever. What it has on loan it gives back whenever it is
 * asked to.
 */
function mayPause({ observed }: Board, run: RunState, isLoan: boolean): boolean {
  if (run.state !== 'running' || !isSettled(run, observed.connected)) return false;
  const heldMs = observed.now - run.changedAtMs;
  if (isLoan || run.preemptedAtMs === undefined) return heldMs >= CHANGE_INTERVAL_MS;
  const isFurther = (observed.stepOf?.(run.id) ?? 0) > storedStep(run);
  return heldMs >= (isFurther ? PREEMPTED_AGAIN_MS : NO_FURTHER_MS_MAX);
}

/**
 * A student that has waited for a stage of its teacher for so long gives its workers to whoever can use them,
 * milliseconds: about what it costs to open its data, its graphs and its checkpoint again.
 */
export const TEACHER_WAIT_MS = 10_000;

/** Students that only hold their workers, those that have waited longest first. */
function waitingStudents({ students, state, observed, run }: Board): RunState[] {
  return [...students]
    .map((number) => run(number))
    .map((student) => ({ student, sinceMs: waitsSince(student) }))
    .filter(
      ({ student, sinceMs }) =>
        observed.now - sinceMs >= TEACHER_WAIT_MS && awaitedStage(state, student) !== undefined,
    )
    .sort((a, b) => a.sinceMs - b.sinceMs || numberOf(a.student.id) - numberOf(b.student.id))
    .map(({ student }) => student);
}

/** The earliest time from which on a student can have waited where its newest stage ended. */
const waitsSince = ({ changedAtMs, checkpoints }: RunState): number =>
  Math.max(changedAtMs, checkpoints.at(-1)?.storedAtMs ?? 0);

/** Since when gangs pause for this run, whose workers are about to be free; undefined: none does. */
export function awaitedSince(board: Board, run: RunState): number | undefined {
  for (const number of board.pausing) {
    const { pausing } = board.run(number);
    if (pausing?.forRunId === run.id) return pausing.sinceMs;
  }
  return undefined;
}

/**
 * The gangs that have to pause so that this run has its minimum: those that have workers on loan of it, students that
 * wait for a stage of their teacher, whatever their priority, then those of lower priority, the lowest first, of equal
 * ones those that have least to lose. Undefined when their workers would not be enough, or when gangs pause for it
 * already. `have`: workers that are free for it, or that elastic gangs can spare. `borrowers`: those that give back
 * what they have on loan.
 */
export function runsToPause(
  plan: Plan,
  run: RunState,
  { have, borrowers }: { readonly have: readonly Seat[]; readonly borrowers: readonly RunState[] },
): RunState[] | undefined {
  const { board } = plan;
  // One that may kill its workers gets none that others have to give up.
  if (isSuspect(run, board.observed) || awaitedSince(board, run) !== undefined) return undefined;
  const isReady = (victim: RunState) => plan.isUnchanged(victim) && mayPause(board, victim, true);
  const lent = borrowers.filter((victim) => victim.id !== run.teacherRunId && isReady(victim));
  const idle = waitingStudents(board).filter(isReady);
  const candidates = [...new Set([...lent, ...idle, ...pausable(plan, run)])];
  if (candidates.length === 0) return undefined;
  const avoided = new Set(avoidedNow(board, run).map(({ workerId }) => workerId));
  for (const classes of classesOf(board, run, have)) {
    const held = new Set(
      have.filter((seat) => classes.has(seat.deviceClass)).map(({ deviceId }) => deviceId),
    );
    const missing = run.job.workers.min - held.size;
    const isUsable = (id: string) => {
      const seat = board.pools.seatOf(id);
      return (
        seat !== undefined && classes.has(seat.deviceClass) && !held.has(seat.deviceId) && !avoided.has(id)
      );
    };
    const deviceOfSeat = (id: string) => board.pools.seatOf(id)!.deviceId;
    const gainOf = (victim: RunState) =>
      plan
        .membersOf(victim)
        .filter((id) => isUsable(id) && !board.pools.seatOf(id)!.isTaken)
        .map(deviceOfSeat);
    const chosen = isExclusive(run)
      ? ofWholeDevices(plan, {
          candidates,
          missing,
          usable: (victim) => plan.membersOf(victim).filter(isUsable),
        })
      : enough(candidates, missing, gainOf);
    if (chosen !== undefined) return chosen;
  }
  return undefined;
}

/** Device classes that can make up its gang together; where all have to be of one, that of `have` first. */
function classesOf(board: Board, run: RunState, have: readonly Seat[]): ReadonlySet<string>[] {
  const fitting = board.pools.all().filter((pool) => fitsClass(run, pool));
  const names = fitting.map(({ deviceClass }) => deviceClass);
  if (!needsOneClass(run)) return [new Set(names)];
  const first = have[0]?.deviceClass;
  return [...new Set([...(first === undefined ? [] : [first]), ...names])].map((name) => new Set([name]));
}

function pausable(plan: Plan, run: RunState): RunState[] {
  const { board } = plan;
  return [...board.running]
    .filter(([priority]) => priority < priorityOf(run))
    .sort(([a], [b]) => a - b)
    .flatMap(([, numbers]) =>
      [...numbers]
        .map((number) => board.run(number))
        // Without its teacher the run would have the workers and wait.
        .filter(
          (victim) =>
            victim.id !== run.teacherRunId && plan.isUnchanged(victim) && mayPause(board, victim, false),
        )
        .map((victim) => ({ victim, steps: unstoredSteps(board, victim) }))
        .sort((a, b) => a.steps - b.steps || numberOf(b.victim.id) - numberOf(a.victim.id))
        .map(({ victim }) => victim),
    );
}

/** Steps that are lost if the gang cannot store where it stands. */
function unstoredSteps({ observed }: Board, run: RunState): number {
  return Math.max(0, (observed.stepOf?.(run.id) ?? 0) - storedStep(run));
}

/** Those that hold all of so many devices: of the devices those come first that the first candidates hold. */
function ofWholeDevices(
  plan: Plan,
  options: {
    readonly candidates: readonly RunState[];
    readonly missing: number;
    readonly usable: (victim: RunState) => readonly string[];
  },
): RunState[] | undefined {
  const { candidates, missing, usable } = options;
  const { devices, pools } = plan.board;
  const ids = new Set(candidates.map(({ id }) => id));
  const looked = new Set<string>();
  const chosen = new Map<string, RunState>();
  let gained = 0;
  for (const workerId of candidates.flatMap(usable)) {
    const { deviceId } = pools.seatOf(workerId)!;
    if (gained >= missing) break;
    if (looked.has(deviceId)) continue;
    looked.add(deviceId);
    const holders = holdingsOf(plan, devices.workersOn(deviceId)).map(({ victim }) => victim);
    if (holders.some(({ id }) => !ids.has(id))) continue;
    for (const holder of holders) chosen.set(holder.id, holder);
    gained += 1;
  }
  return gained >= missing ? [...chosen.values()] : undefined;
}

/** The first of these whose workers are enough together, without those that turn out not to be needed. */
function enough(
  candidates: readonly RunState[],
  missing: number,
  gainOf: (victim: RunState) => readonly string[],
): RunState[] | undefined {
  const gained = new Map<string, number>();
  const count = (victim: RunState, by: 1 | -1) => {
    for (const id of gainOf(victim)) {
      const times = (gained.get(id) ?? 0) + by;
      if (times > 0) gained.set(id, times);
      else gained.delete(id);
    }
  };
  const chosen: RunState[] = [];
  for (const victim of candidates) {
    if (gained.size >= missing) break;
    if (gainOf(victim).every((id) => gained.has(id))) continue;
    count(victim, 1);
    chosen.push(victim);
  }
  if (gained.size < missing) return undefined;
  // The last one was needed; an earlier one may not be, beside it.
  return chosen.filter((victim) => {
    count(victim, -1);
    if (gained.size >= missing) return false;
    count(victim, 1);
    return true;
  });
}
