// How a run that finds too few free workers gets them from gangs that can spare members. Decides whose
// members are taken, and in which order. Nothing is taken unless all that is needed can be: a gang that was
// shrunk for nobody has lost a synchronisation for nothing. Gangs that have nothing to spare are preemption.ts's.

import { lookup } from '../model/persistent-map.ts';
import { numberOf, priorityOf, type RunState } from '../model/state.ts';
import { isSuspect } from './blame.ts';
import { avoidedNow, mayChange } from './board.ts';
import { isExclusive } from './devices.ts';
import { fitsClass } from './fit.ts';
import type { Plan } from './plan.ts';
import { isFree, type Pool, type Seat } from './pools.ts';

interface Gain {
  readonly victim: RunState;
  readonly workerId: string;
}

/**
 * Frees workers for a run by shrinking gangs that can spare members, or by sending back to the queue the
 * students of a teacher that is to be placed. All or nothing. `have`: workers that are free; `isClosed`:
 * classes that are kept for others.
 */
export function reclaim(
  plan: Plan,
  run: RunState,
  have: readonly Seat[],
  isClosed: (pool: Pool) => boolean,
): boolean {
  const gained = gainsFor(plan, run, { have, isClosed, isWhole: true });
  if (gained === undefined) return false;
  for (const { victim, workerId } of gained) dropMember(plan, victim, workerId, run);
  return true;
}

/** The workers that elastic gangs can spare for a run now, also where these are not enough; nothing is taken. */
export function sparedFor(
  plan: Plan,
  run: RunState,
  { have, isClosed }: { readonly have: readonly Seat[]; readonly isClosed: (pool: Pool) => boolean },
): Seat[] {
  const gained = gainsFor(plan, run, { have, isClosed, isWhole: false }) ?? [];
  return gained.map(({ workerId }) => plan.board.pools.seatOf(workerId)!);
}

/** What gangs can give; `isWhole`: undefined unless the run has its minimum then. */
function gainsFor(
  plan: Plan,
  run: RunState,
  how: {
    readonly have: readonly Seat[];
    readonly isClosed: (pool: Pool) => boolean;
    readonly isWhole: boolean;
  },
): Gain[] | undefined {
  const { have, isClosed, isWhole } = how;
  const victims = victimsOf(plan, run);
  if (victims.length === 0) return undefined;
  const { pools } = plan.board;
  const avoided = new Set(avoidedNow(plan.board, run).map(({ workerId }) => workerId));
  const open = new Set(
    pools
      .all()
      .filter((pool) => fitsClass(run, pool) && !isClosed(pool))
      .map(({ key }) => key),
  );
  const usable = (id: string): Seat | undefined => {
    const seat = pools.seatOf(id);
    return seat !== undefined && open.has(pools.poolOf(seat).key) && !avoided.has(id) ? seat : undefined;
  };
  if (isSuspect(run, plan.board.observed) || isExclusive(run))
    return wholeUnits(plan, { run, missing: run.job.workers.min - have.length, victims, usable });
  const gained = members(plan, { run, have, victims, usable });
  return isWhole && have.length + gained.length < run.job.workers.min ? undefined : gained;
}

function members(
  plan: Plan,
  options: {
    readonly run: RunState;
    readonly have: readonly Seat[];
    readonly victims: readonly RunState[];
    readonly usable: (id: string) => Seat | undefined;
  },
): Gain[] {
  const { run, have, victims, usable } = options;
  let deviceClass = have[0]?.deviceClass;
  const gained: Gain[] = [];
  const taken = new Set(have.map(({ deviceId }) => deviceId));
  const missing = () => run.job.workers.min - have.length - gained.length;
  for (const victim of victims) {
    let spare = sparable(plan, run, victim);
    for (const id of [...plan.membersOf(victim)].reverse()) {
      if (missing() <= 0 || spare <= 0) break;
      const seat = usable(id);
      if (seat === undefined || taken.has(seat.deviceId) || isFree(seat)) continue;
      if (run.job.training.exact && deviceClass !== undefined && seat.deviceClass !== deviceClass) continue;
      deviceClass ??= seat.deviceClass;
      gained.push({ victim, workerId: id });
      taken.add(seat.deviceId);
      spare--;
    }
  }
  return gained;
}

/**
 * Whole workers for a suspect, and whole devices for an exclusive run: those whose other runs can all give them up,
 * such as its own students that wait for it.
 */
function wholeUnits(
  plan: Plan,
  options: {
    readonly run: RunState;
    readonly missing: number;
    readonly victims: readonly RunState[];
    readonly usable: (id: string) => Seat | undefined;
  },
): Gain[] | undefined {
  const { run, victims, usable } = options;
  const { board } = plan;
  let { missing } = options;
  const taken = new Map<string, number>();
  const gained: Gain[] = [];
  const candidates = new Set(victims.flatMap((victim) => plan.membersOf(victim)));
  const seen = new Set<string>();
  for (const candidate of [...candidates].sort()) {
    if (missing <= 0) break;
    const seat = usable(candidate);
    if (seat === undefined || seen.has(seat.deviceId)) continue;
    const unit = isExclusive(run) ? board.devices.workersOn(seat.deviceId) : [candidate];
    if (isExclusive(run) ? board.devices.heldOn(seat.deviceId) === 0 : isFree(seat) && seat.held === 0)
      continue;
    const held = holdingsOf(plan, unit);
    const sparing = ({ victim }: Gain) => {
      const count = held.filter((one) => one.victim.id === victim.id).length;
      return sparable(plan, run, victim) >= (taken.get(victim.id) ?? 0) + count;
    };
    if (held.some((one) => one.victim.id === run.id || !sparing(one))) continue;
    for (const { victim } of held) taken.set(victim.id, (taken.get(victim.id) ?? 0) + 1);
    gained.push(...held);
    seen.add(seat.deviceId);
    missing -= 1;
  }
  return missing > 0 ? undefined : gained;
}

/** Which runs these workers hold, as far as it is planned. */
export function holdingsOf(plan: Plan, workerIds: readonly string[]): Gain[] {
  const { board } = plan;
  return workerIds.flatMap((workerId) =>
    (lookup(board.state.workers, workerId)?.runs ?? [])
      .map((number) => board.run(number))
      .filter((victim) => plan.membersOf(victim).includes(workerId))
      .map((victim) => ({ victim, workerId })),
  );
}

function dropMember(plan: Plan, victim: RunState, workerId: string, run: RunState): void {
  const rest = plan.membersOf(victim).filter((id) => id !== workerId);
  const reason =
    rest.length === 0
      ? `its teacher ${run.id} needs ${workerId}`
      : `gives ${workerId} to ${run.id}, which needs ${run.job.workers.min} to start`;
  plan.setGang(victim, rest, reason);
}

/** Whose members may be taken, in this order: lowest priority first, then the largest surplus. */
function victimsOf(plan: Plan, run: RunState): RunState[] {
  const { board } = plan;
  const numbers = new Set([...board.shrinking, ...run.studentRunIds.map(numberOf)]);
  if (numbers.size === 0) return [];
  return [...numbers]
    .map((number) => board.run(number))
    .filter((victim) => victim.id !== run.id && 'gang' in victim && sparable(plan, run, victim) > 0)
    .sort(
      (a, b) =>
        plan.heldPriorityOf(a) - plan.heldPriorityOf(b) ||
        sparable(plan, run, b) - sparable(plan, run, a) ||
        numberOf(a.id) - numberOf(b.id),
    );
}

/** How many members a gang can give to this run now. */
function sparable(plan: Plan, run: RunState, victim: RunState): number {
  const size = plan.membersOf(victim).length;
  if (size === 0) return 0;
  // A student that waits for this teacher only holds the place that its teacher needs.
  if (victim.teacherRunId === run.id && size <= victim.job.workers.min) return size;
  if (plan.heldPriorityOf(victim) > priorityOf(run) || !mayChange(plan.board, victim)) return 0;
  return size - victim.job.workers.min;
}
