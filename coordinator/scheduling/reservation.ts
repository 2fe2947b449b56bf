// What is kept for a gang that finds too few workers, and who may use it meanwhile (EASY backfill: Lifka, "The
// ANL/IBM SP scheduling system", 1995). The first blocked gang of each device class has a reservation of the
// workers that are free there. Until its deadline everybody may use them. From then on only those do that keep
// nothing back from it: runs that end, by estimate, before it could start; runs that fit beside it when it
// starts; and surplus of elastic gangs, which is taken back.

import type { RunState } from '../model/state.ts';
import { isSuspect } from './blame.ts';
import {
  avoidedNow,
  type Board,
  byLoad,
  chooseFree,
  classesFor,
  fitsClass,
  type Selection,
} from './board.ts';
import { durationOf, endOf, paceOf } from './estimates.ts';
import type { Plan } from './plan.ts';
import type { Seat } from './pools.ts';
import { awaitedSince } from './preemption.ts';

/** How long others may take workers that a gang waits for, milliseconds. */
export const OVERTAKE_MS = 30_000;

/** The workers that one gang waits for. */
export interface Reservation {
  /** The gang, which is queued. */
  readonly run: RunState;
  /** The device classes of which it takes workers. */
  readonly classes: ReadonlySet<string>;
  /** Free ones that it will take. */
  readonly workerIds: ReadonlySet<string>;
  /** From then on they are kept, milliseconds since the epoch. */
  readonly deadlineMs: number;
  /** Now is after the deadline. */
  readonly isDue: boolean;
  /** When it can start by estimate; undefined: that is not known. Asked for only when it matters. */
  start(): Start | undefined;
  /** Runs that go on beyond the start have taken so many of the workers that are left over then. */
  borrowed: number;
}

/** When a gang can start. */
export interface Start {
  readonly atMs: number;
  /** Workers that are left over then. */
  readonly spare: number;
  /** Multiply-adds a second of one worker there, where it was measured. */
  readonly pace: number | undefined;
}

/** All reservations of one look at the queue. */
export interface Reservations {
  /** Notes that a run waits; it gets a reservation when nobody before it has one of its classes. */
  add(run: RunState): void;
  all(): readonly Reservation[];
  /** What a run behind them may take: `without` are workers that are kept from it. */
  selectionFor(run: RunState): Selection;
  /** A run behind them has got these workers. */
  placed(run: RunState, workerIds: readonly string[]): void;
  /** Those that keep workers from this run. */
  against(run: RunState): Reservation[];
}

/** Running gangs that an estimate looks at beyond what the gang needs. */
const LOOKED_AT = 64;

/** No gang waits yet. */
export function createReservations(plan: Plan): Reservations {
  const { board } = plan;
  const reservations: Reservation[] = [];

  const against = (run: RunState) =>
    reservations.filter((one) => one.isDue && !endsBefore(board, run, one) && !fitsBeside(run, one));

  return {
    against,
    all: () => reservations,
    add(run) {
      // One worker alone is taken as soon as it is free: nothing is kept for it.
      const isAwaited = awaitedSince(board, run) !== undefined;
      if (run.job.workers.min === 1 && !isSuspect(run, board.observed) && !isAwaited) return;
      const taken = new Set(reservations.flatMap((one) => [...one.classes]));
      const classes = new Set(classesFor(board, run).filter((one) => !taken.has(one)));
      if (classes.size === 0) return;
      reservations.push(reservationFor(plan, run, classes));
    },
    selectionFor(run) {
      const keepers = against(run);
      const without = new Set<string>();
      for (const { workerIds, run: gang } of keepers)
        for (const id of workerIds) if (needsIt(board, gang, id)) without.add(id);
      // Surplus of elastic gangs is lent by the gang that waits: others do not get it.
      const isClosed = ({ deviceClass }: { readonly deviceClass: string }) =>
        keepers.some(({ classes }) => classes.has(deviceClass));
      return { without, isClosed };
    },
    placed(run, workerIds) {
      for (const one of reservations) {
        if (!one.isDue || endsBefore(board, run, one)) continue;
        one.borrowed += workerIds.filter((id) => one.classes.has(board.pools.seatOf(id)!.deviceClass)).length;
      }
    },
  };
}

function reservationFor(plan: Plan, run: RunState, classes: ReadonlySet<string>): Reservation {
  const { board } = plan;
  const { min } = run.job.workers;
  const isClosed = ({ deviceClass }: { readonly deviceClass: string }) => !classes.has(deviceClass);
  const free = isSuspect(run, board.observed)
    ? emptiest(board, run, isClosed)
    : chooseFree(board, run, { count: min, isClosed });
  // What others have given up for it is kept at once.
  const sinceMs = awaitedSince(board, run);
  const deadlineMs = sinceMs ?? run.queuedAtMs + OVERTAKE_MS;
  let start: Start | undefined | null = null;
  return {
    ...{
      run,
      classes,
      deadlineMs,
      isDue: sinceMs !== undefined || board.observed.now > deadlineMs,
      borrowed: 0,
    },
    workerIds: new Set(free.map(({ id }) => id)),
    start() {
      if (start === null) start = startOf(plan, run, classes, free.length);
      return start;
    },
  };
}

/** Workers that are next to hold nothing, for a run that shares with nobody. */
function emptiest(
  board: Board,
  run: RunState,
  isClosed: (pool: { readonly deviceClass: string }) => boolean,
): Seat[] {
  const open = board.pools.all().filter((pool) => fitsClass(run, pool) && !isClosed(pool));
  const isTaken = new Set(avoidedNow(board, run).map(({ workerId }) => workerId));
  const how = { idleOnly: false, accept: (id: string) => !isTaken.has(id) };
  const { min } = run.job.workers;
  return open
    .flatMap((pool) => pool.leastLoaded(min, how))
    .sort(byLoad)
    .slice(0, min);
}

/** Whether a gang needs the slot of this worker that is still free. */
function needsIt(board: Board, gang: RunState, id: string): boolean {
  const seat = board.pools.seatOf(id);
  return seat !== undefined && (seat.held + 1 >= seat.slots || isSuspect(gang, board.observed));
}

/** When enough gangs have ended, in the order in which they do. */
function startOf(plan: Plan, run: RunState, classes: ReadonlySet<string>, free: number): Start | undefined {
  const { board } = plan;
  const { min } = run.job.workers;
  if (isSuspect(run, board.observed)) return undefined;
  const running = [...classes].flatMap((deviceClass) =>
    board.holding(deviceClass, LOOKED_AT + 2 * min).map((number) => board.run(number)),
  );
  const pace = paceOf(running, board.observed);
  const ends = running
    .flatMap((one) => {
      const atMs = endOf(one, pace, board.observed);
      return atMs === undefined ? [] : [{ atMs, members: one.gang.map(({ workerId }) => workerId) }];
    })
    .sort((a, b) => a.atMs - b.atMs);
  const avoided = new Set(avoidedNow(board, run).map(({ workerId }) => workerId));
  const freed = new Set<string>();
  for (const { atMs, members } of ends) {
    for (const id of members) {
      const seat = board.pools.seatOf(id);
      const isFull = seat !== undefined && classes.has(seat.deviceClass) && seat.held >= seat.slots;
      if (isFull && fitsClass(run, board.pools.poolOf(seat)) && !avoided.has(id)) freed.add(id);
    }
    if (free + freed.size >= min) return { atMs, spare: free + freed.size - min, pace };
  }
  return undefined;
}

/** The run is done, by estimate, before the gang could start. */
function endsBefore(board: Board, run: RunState, { start, classes }: Reservation): boolean {
  if (!classesFor(board, run).some((one) => classes.has(one))) return true;
  const known = start();
  if (known === undefined) return false;
  const duration = durationOf(run, run.job.workers.min, known.pace, board.observed);
  return duration !== undefined && board.observed.now + duration <= known.atMs;
}

/** The run needs no more workers than are left over when the gang starts. */
function fitsBeside(run: RunState, { start, borrowed }: Reservation): boolean {
  const known = start();
  return known !== undefined && known.spare - borrowed >= run.job.workers.min;
}
