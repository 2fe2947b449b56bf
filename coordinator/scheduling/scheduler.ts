// Who trains what: which queued runs start on which workers, which running gangs grow into idle workers,
// which give workers back. Pure: a board goes in, placements with their reasons come out. Gangs are placed
// whole or not at all, so that half-placed gangs cannot block each other.
//
// The order is that of shares.ts. Every run that can start first gets its minimum; what is left makes gangs
// larger, one worker a round, so that no gang takes all. A run that finds too few workers takes surplus
// members of elastic gangs of its priority or below, and a teacher may take all of its own students, which
// would wait for it for ever. What a run that is blocked keeps from those behind it is its reservation
// (reservation.ts).
//
// The cost is that of what is placed and of the groups of the queue; neither the queue nor the workers nor
// the runs are looked through.

import { shareOf } from '../model/accounts.ts';
import { lookup } from '../model/persistent-map.ts';
import { priorityOf, type RunState } from '../model/state.ts';
import { type Board, chooseFree, classesFor, mayChange } from './board.ts';
import { borrowersOf } from './loans.ts';
import { createPlan, type Placement, type Plan } from './plan.ts';
import type { Pool } from './pools.ts';
import { runsToPause } from './preemption.ts';
import type { Group } from './queue.ts';
import { quotaWait } from './quota-wait.ts';
import { reclaim, sparedFor } from './reclaim.ts';
import { createReservations, deadlineOf, type Reservations } from './reservation.ts';
import { createOrder, type Head } from './shares.ts';
import { notStartable } from './wait.ts';

/**
 * Workers that could take the places of lost members now, so that those who stay keep what they have in
 * memory.
 */
export function replacementsFor(
  board: Board,
  options: { run: RunState; survivors: readonly string[]; without: string; count: number },
): string[] {
  const { run, survivors, without, count } = options;
  const free = chooseFree(board, run, {
    count,
    without: new Set([without, ...survivors]),
    members: survivors,
  });
  return free.map((seat) => seat.id);
}

/** Places what can be placed now. */
export function schedule(board: Board): Placement[] {
  const plan = createPlan(board);
  const { blocked } = placeQueued(plan);
  if (board.pools.free > 0) growGangs(plan, blocked);
  return plan.finish();
}

/** What waiting gangs keep for themselves now, in the order of their urgency. */
export function reservationsOn(board: Board): Reservations {
  const plan = createPlan(board);
  const { reservations } = placeQueued(plan, true);
  plan.finish();
  return reservations;
}

/**
 * Gives queued runs their smallest gangs, in order of urgency. `blocked`: the first of each group that finds too
 * few workers. `toTheEnd`: also when nothing is left to give.
 */
function placeQueued(
  plan: Plan,
  toTheEnd = false,
): { readonly blocked: RunState[]; readonly reservations: Reservations } {
  const { board } = plan;
  const blocked: RunState[] = [];
  const reservations = createReservations(plan);
  const order = createOrder(board);
  const waiting = new Set<Group>();
  const placed: Head[] = [];
  // A queued teacher can take the places of its students, which may be all that is left to take.
  const canTake = board.shrinking.size > 0 || isTeacherQueued(board) || mayPreempt(board);
  while (board.pools.free > 0 || canTake || toTheEnd) {
    const next = order.firstOf(headsOf(board, waiting));
    if (next === undefined) break;
    const { group, number, agedPriority } = next;
    const run = board.run(number);
    if (notStartable(board.state, run) !== undefined || isOverQuota(plan, run, run.job.workers.min))
      waiting.add(group);
    else if (placeMinimum(plan, run, { reservations, agedPriority })) {
      group.numbers.delete(number);
      placed.push(next);
      order.placed(group.share, run.job.workers.min);
    } else {
      preempt(plan, run, reservations);
      waiting.add(group);
      blocked.push(run);
      reservations.add(run);
    }
  }
  // The queue is the board's: it loses them when they have their gangs.
  for (const { group, number } of placed) group.numbers.add(number);
  return { blocked, reservations };
}

function isTeacherQueued(board: Board): boolean {
  for (const { numbers } of board.queue.groups())
    if (board.run(numbers.first()!).job.kind === 'teacher') return true;
  return false;
}

/** The owner of the run may not have so many workers more, with what it has got in this plan. */
function isOverQuota(plan: Plan, run: RunState, wanted: number): boolean {
  const { board } = plan;
  const { owner } = shareOf(board.state, run);
  const begun = () =>
    plan.begun().filter((one) => one.generation === 0 && ownerOf(board, one) === owner).length;
  return quotaWait(board, run, wanted, { workers: plan.givenTo(owner), begun }) !== undefined;
}

const ownerOf = ({ state }: Board, run: RunState): string => shareOf(state, run).owner;

/**
 * Has gangs pause where a run finds too few workers, and will be whole with theirs: those that have some of it on
 * loan, students that wait for their teacher, and those of lower priority.
 */
function preempt(plan: Plan, run: RunState, reservations: Reservations): void {
  const { board } = plan;
  const borrowers = board.observed.now > deadlineOf(board, run) ? borrowersOf(board, run) : [];
  if (borrowers.length === 0 && board.students.size === 0 && !isAbove(board, priorityOf(run))) return;
  const { without, isClosed } = reservations.selectionFor(run);
  const free = chooseFree(board, run, { count: run.job.workers.min, without });
  const have = [...free, ...sparedFor(plan, run, { have: free, isClosed })];
  for (const victim of runsToPause(plan, run, { have, borrowers }) ?? []) plan.pauseFor(victim, run);
}

/**
 * Whether a run waits that has workers lent, or beside students, which may only wait, or whose priority is above that
 * of one that trains.
 */
function mayPreempt(board: Board): boolean {
  if (board.lent.size > 0 || board.students.size > 0) return true;
  for (const { priority } of board.queue.groups()) if (isAbove(board, priority)) return true;
  return false;
}

function isAbove({ running }: Board, priority: number): boolean {
  for (const other of running.keys()) if (other < priority) return true;
  return false;
}

/** The first run of each group that is not known to wait. */
function headsOf(board: Board, waiting: ReadonlySet<Group>): Head[] {
  const heads: Head[] = [];
  for (const group of board.queue.groups()) {
    const number = waiting.has(group) ? undefined : group.numbers.first();
    if (number !== undefined) heads.push({ group, number });
  }
  return heads;
}

/** Gives a queued run its smallest gang if that is possible. */
function placeMinimum(
  plan: Plan,
  run: RunState,
  { reservations, agedPriority }: { readonly reservations: Reservations; readonly agedPriority: number },
): boolean {
  const { board } = plan;
  const { min } = run.job.workers;
  const { without, lent, isClosed } = reservations.selectionFor(run);
  const choose = (kept: ReadonlySet<string>) => chooseFree(board, run, { count: min, without: kept });
  // What nobody waits for goes first.
  const own = lent.size === 0 ? [] : choose(new Set([...without, ...lent]));
  const chosen = own.length < min ? choose(without) : own;
  if (chosen.length < min && !reclaim(plan, run, chosen, isClosed)) return false;
  const members = (chosen.length < min ? choose(without) : chosen).map(({ id }) => id);
  const lentByRunId = reservations.placed(run, members);
  const aged =
    agedPriority > priorityOf(run)
      ? `; waiting has raised its priority from ${priorityOf(run)} to ${agedPriority}`
      : '';
  const loan = lentByRunId === undefined ? '' : `; on loan until ${lentByRunId} can start`;
  const reason = `${members.length} of at least ${min} workers free: ${members.join(', ')}${waitedText(board, run)}${aged}${loan}`;
  plan.setGang(run, members, reason, { priority: agedPriority, lentByRunId });
  return true;
}

/** How long a run has been in the queue, where that is a second at least. */
function waitedText({ observed }: Board, { queuedAtMs }: RunState): string {
  const seconds = Math.floor((observed.now - queuedAtMs) / 1000);
  return seconds < 1 ? '' : `; it waited ${seconds} s`;
}

/**
 * One worker a gang a round, in order of urgency. Workers that a run waits for are lent to gangs that it may
 * take them back from.
 */
function growGangs(plan: Plan, blocked: readonly RunState[]): void {
  const { board } = plan;
  const growing = growable(plan);
  if (growing.length === 0) return;
  const wanted = blocked.map((other) => ({
    priority: priorityOf(other),
    classes: classesFor(board, other),
  }));
  const started = new Map(growing.map((run) => [run.id, plan.membersOf(run).length]));
  for (let grew = true; grew; ) {
    grew = false;
    for (const run of growing) grew = growByOne(plan, run, wanted) || grew;
  }
  for (const run of growing) {
    const members = plan.membersOf(run);
    const joined = members.slice(started.get(run.id)!);
    if (joined.length > 0 && run.state === 'running')
      plan.setReason(
        run,
        `idle workers join: ${joined.join(', ')}; ${members.length} of at most ${run.job.workers.max}`,
      );
  }
}

/** Gangs that may grow now: those that run, and those that have just been placed. */
function growable(plan: Plan): RunState[] {
  const { board } = plan;
  const running = [...board.growing].map((number) => board.run(number)).filter((run) => !plan.pauses(run));
  const begun = plan.begun().filter(({ job }) => job.workers.max > job.workers.min);
  return [...running, ...begun].filter((run) => mayChange(board, run)).sort(createOrder(board).compare);
}

/** What a blocked run waits for. */
interface Wanted {
  readonly priority: number;
  readonly classes: readonly string[];
}

function growByOne(plan: Plan, run: RunState, wanted: readonly Wanted[]): boolean {
  const { board } = plan;
  const members = plan.membersOf(run);
  if (members.length === 0 || members.length >= run.job.workers.max) return false;
  if (isOverQuota(plan, run, 1)) return false;
  const deviceClass = run.deviceClass ?? lookup(board.state.workers, members[0]!)?.deviceClass;
  const isClosed = (pool: Pool) =>
    (run.job.training.exact && pool.deviceClass !== deviceClass) ||
    wanted.some(
      ({ priority, classes }) => priority < plan.heldPriorityOf(run) && classes.includes(pool.deviceClass),
    );
  const [seat] = chooseFree(board, run, { count: 1, isClosed, without: new Set(members), members });
  if (seat === undefined) return false;
  plan.setGang(run, [...members, seat.id], plan.reasonOf(run) ?? `idle worker joins: ${seat.id}`);
  return true;
}
