// What is kept for a gang that finds too few workers, and who may use it meanwhile (EASY backfill: Lifka, "The
// ANL/IBM SP scheduling system", 1995). The first blocked gang of each device class has a reservation of the
// workers that are free there. Who takes one of them has it on loan (loans.ts), unless it fits beside the gang when
// that starts, and gives it back once the gang can start. Until the deadline of the gang everybody may use them. From
// then on only those do that keep nothing back from it: runs that may have a loan; runs that end, by estimate, before
// it could start; and surplus of elastic gangs, which is taken back.

import { lookup } from '../model/persistent-map.ts';
import type { RunState } from '../model/state.ts';
import { isSuspect } from './blame.ts';
import { avoidedNow, type Board, byLoad, chooseFree, classesFor, type Selection } from './board.ts';
import { isExclusive } from './devices.ts';
import { durationOf, endOf, paceOf } from './estimates.ts';
import { fitsClass } from './fit.ts';
import { borrowersOf, mayBorrow } from './loans.ts';
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
  /** So many it would still lack with them. */
  readonly lacks: number;
  /** From then on they are kept, milliseconds since the epoch. */
  readonly deadlineMs: number;
  /** Now is after the deadline. */
  readonly isDue: boolean;
  /** Gangs pause for it now. */
  readonly isAwaited: boolean;
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
  /**
   * What a run behind them may take: `without` are workers that are kept from it, and `lent` those that it would have
   * on loan.
   */
  selectionFor(run: RunState): Selection & { readonly lent: ReadonlySet<string> };
  /** A run behind them has got these workers. Returns the id of the run of which it has some on loan. */
  placed(run: RunState, workerIds: readonly string[]): string | undefined;
  /** Those that keep workers from this run. */
  against(run: RunState): Reservation[];
}

/** Running gangs that an estimate looks at beyond what the gang needs. */
const LOOKED_AT = 64;

/** No gang waits yet. */
export function createReservations(plan: Plan): Reservations {
  const { board } = plan;
  const reservations: Reservation[] = [];

  const lenders = (run: RunState) =>
    reservations.filter(
      (one) => shares(board, run, one) && mayBorrow(board, run, one) && !fitsBeside(run, one),
    );
  const against = (run: RunState) => {
    const lending = lenders(run);
    return reservations.filter((one) => {
      if (!one.isDue || lending.includes(one) || !shares(board, run, one)) return false;
      return one.isAwaited || (!endsBefore(board, run, one) && !fitsBeside(run, one));
    });
  };
  const neededOf = ({ run: gang, workerIds }: Reservation) =>
    [...workerIds].filter((id) => needsIt(board, gang, id));

  return {
    against,
    all: () => reservations,
    add(run) {
      // One worker alone is taken as soon as it is free: nothing is kept for it.
      const isAwaited = awaitedSince(board, run) !== undefined;
      if (run.job.workers.min === 1 && !needsWhole(board, run) && !isAwaited) return;
      const taken = new Set(reservations.flatMap((one) => [...one.classes]));
      const classes = new Set(classesFor(board, run).filter((one) => !taken.has(one)));
      if (classes.size === 0) return;
      reservations.push(reservationFor(plan, run, classes));
    },
    selectionFor(run) {
      const keepers = against(run);
      const lending = lenders(run);
      const without = new Set(keepers.flatMap(neededOf));
      const lent = new Set(lending.flatMap(neededOf));
      // Surplus of elastic gangs is lent by the gang that waits: others do not get it.
      const owners = [...keepers, ...lending.filter(({ isDue }) => isDue)];
      const isClosed = ({ deviceClass }: { readonly deviceClass: string }) =>
        owners.some(({ classes }) => classes.has(deviceClass));
      return { without, lent, isClosed };
    },
    placed(run, workerIds) {
      const lender = lenders(run).find((one) => neededOf(one).some((id) => workerIds.includes(id)));
      for (const one of reservations) {
        if (one === lender || endsBefore(board, run, one)) continue;
        one.borrowed += workerIds.filter((id) => one.classes.has(board.pools.seatOf(id)!.deviceClass)).length;
      }
      return lender?.run.id;
    },
  };
}

/** From when on workers are kept for a run that waits, milliseconds since the epoch. */
export function deadlineOf(board: Board, run: RunState): number {
  // What others have given up for it is kept at once.
  return awaitedSince(board, run) ?? run.queuedAtMs + OVERTAKE_MS;
}

function reservationFor(plan: Plan, run: RunState, classes: ReadonlySet<string>): Reservation {
  const { board } = plan;
  const { min } = run.job.workers;
  const isClosed = ({ deviceClass }: { readonly deviceClass: string }) => !classes.has(deviceClass);
  const free = needsWhole(board, run)
    ? emptiest(board, run, isClosed)
    : chooseFree(board, run, { count: min, isClosed });
  const isAwaited = awaitedSince(board, run) !== undefined;
  const deadlineMs = deadlineOf(board, run);
  let start: Start | undefined | null = null;
  return {
    ...{
      run,
      classes,
      deadlineMs,
      isAwaited,
      isDue: isAwaited || board.observed.now > deadlineMs,
      borrowed: 0,
    },
    workerIds: new Set(
      isExclusive(run)
        ? free.flatMap(({ deviceId }) => board.devices.workersOn(deviceId))
        : free.map(({ id }) => id),
    ),
    lacks: min - free.filter((seat) => !needsWhole(board, run) || isWholly(board, run, seat)).length,
    start() {
      if (start === null) start = startOf(plan, run, classes, free);
      return start;
    },
  };
}

/** It takes workers, or devices, that hold nothing else. */
function needsWhole({ observed }: Board, run: RunState): boolean {
  return isSuspect(run, observed) || isExclusive(run);
}

/** The worker, or its device, holds nothing. */
function isWholly(board: Board, run: RunState, { deviceId, held }: Seat): boolean {
  return (isExclusive(run) ? board.devices.heldOn(deviceId) : held) === 0;
}

/** Runs on a device that do not pause for this one. */
function inTheWay({ devices, state, run: runAt }: Board, run: RunState, deviceId: string): number {
  const numbers = devices.workersOn(deviceId).flatMap((id) => lookup(state.workers, id)?.runs ?? []);
  return numbers.filter((number) => runAt(number).pausing?.forRunId !== run.id).length;
}

/** Workers, or one of each device, that are next to hold nothing, for a run that shares with nobody. */
function emptiest(
  board: Board,
  run: RunState,
  isClosed: (pool: { readonly deviceClass: string }) => boolean,
): Seat[] {
  const open = board.pools.all().filter((pool) => fitsClass(run, pool) && !isClosed(pool));
  const isTaken = new Set(avoidedNow(board, run).map(({ workerId }) => workerId));
  const how = { idleOnly: false, accept: (id: string) => !isTaken.has(id) };
  const { min } = run.job.workers;
  if (!isExclusive(run))
    return open
      .flatMap((pool) => pool.leastLoaded(min, how))
      .sort(byLoad)
      .slice(0, min);
  const free = open.flatMap((pool) => pool.leastLoaded(pool.free, how));
  const devices = new Map(free.map((seat) => [seat.deviceId, seat]));
  return [...devices.values()]
    .map((seat) => ({ seat, others: inTheWay(board, run, seat.deviceId) }))
    .sort((a, b) => a.others - b.others || byLoad(a.seat, b.seat))
    .slice(0, min)
    .map(({ seat }) => seat);
}

/** Whether a gang needs the slot of this worker that is still free. */
function needsIt(board: Board, gang: RunState, id: string): boolean {
  const seat = board.pools.seatOf(id);
  return seat !== undefined && (seat.held + 1 >= seat.slots || needsWhole(board, gang));
}

/** When enough gangs have ended, in the order in which they do. */
function startOf(
  plan: Plan,
  run: RunState,
  classes: ReadonlySet<string>,
  free: readonly Seat[],
): Start | undefined {
  const { board } = plan;
  const { min } = run.job.workers;
  if (needsWhole(board, run)) return startOfWhole(board, run, classes);
  const running = [...classes].flatMap((deviceClass) =>
    board.holding(deviceClass, LOOKED_AT + 2 * min).map((number) => board.run(number)),
  );
  const pace = paceOf(running, board.observed);
  const backAtMs = Math.max(board.observed.now, deadlineOf(board, run));
  const ends = [...new Set([...borrowersOf(board, run), ...running])]
    .flatMap((one) => {
      // What it has lent comes back when it needs it.
      const atMs = one.lentByRunId === run.id ? backAtMs : endOf(one, pace, board.observed);
      return atMs === undefined ? [] : [{ atMs, members: one.gang.map(({ workerId }) => workerId) }];
    })
    .sort((a, b) => a.atMs - b.atMs);
  const avoided = new Set(avoidedNow(board, run).map(({ workerId }) => workerId));
  const freed = new Set(free.map(({ deviceId }) => deviceId));
  for (const { atMs, members } of ends) {
    for (const id of members) {
      const seat = board.pools.seatOf(id);
      const isFull = seat !== undefined && classes.has(seat.deviceClass) && seat.held >= seat.slots;
      if (isFull && fitsClass(run, board.pools.poolOf(seat)) && !avoided.has(id)) freed.add(seat.deviceId);
    }
    if (freed.size >= min) return { atMs, spare: freed.size - min, pace };
  }
  return undefined;
}

/** When enough workers, or devices, hold nothing else: each of them once the last run on it has ended. */
function startOfWhole(board: Board, run: RunState, classes: ReadonlySet<string>): Start | undefined {
  const { min } = run.job.workers;
  const { now } = board.observed;
  const avoided = new Set(avoidedNow(board, run).map(({ workerId }) => workerId));
  const devices = board.pools
    .all()
    .filter((pool) => classes.has(pool.deviceClass) && fitsClass(run, pool))
    .flatMap((pool) => pool.deviceIds())
    .slice(0, LOOKED_AT + 2 * min);
  const places = [...new Set(devices)]
    .map((id) => board.devices.workersOn(id).filter((workerId) => !avoided.has(workerId)))
    .flatMap((workers) => (isExclusive(run) ? [workers] : workers.map((one) => [one])))
    .filter((workers) => workers.length > 0);
  const runsOn = (workers: readonly string[]) =>
    workers.flatMap((id) => lookup(board.state.workers, id)?.runs ?? []).map((number) => board.run(number));
  const pace = paceOf(places.flatMap(runsOn), board.observed);
  const backAtMs = Math.max(now, deadlineOf(board, run));
  const emptyAt = places
    .map((workers) => runsOn(workers).map((one) => emptyOf(one, { run, pace, backAtMs, board })))
    .filter((ends): ends is number[] => ends.every((end) => end !== undefined))
    .map((ends) => Math.max(now, ...ends))
    .sort((a, b) => a - b);
  const atMs = emptyAt[min - 1];
  if (atMs === undefined) return undefined;
  return { atMs, spare: emptyAt.filter((end) => end <= atMs).length - min, pace };
}

/** When a run that is in the way of another one is gone, by estimate. */
function emptyOf(
  other: RunState,
  {
    run,
    pace,
    backAtMs,
    board,
  }: {
    readonly run: RunState;
    readonly pace: number | undefined;
    readonly backAtMs: number;
    readonly board: Board;
  },
): number | undefined {
  if (other.pausing?.forRunId === run.id) return board.observed.now;
  return other.lentByRunId === run.id ? backAtMs : endOf(other, pace, board.observed);
}

/** The run could get workers of which the gang takes its own. */
function shares(board: Board, run: RunState, { classes }: Reservation): boolean {
  return classesFor(board, run).some((one) => classes.has(one));
}

/** The run is done, by estimate, before the gang could start. */
function endsBefore(board: Board, run: RunState, { start }: Reservation): boolean {
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
