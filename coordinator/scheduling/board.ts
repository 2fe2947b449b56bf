// What placing looks at, kept up to date from decision to decision: the queue in groups, the free workers by
// class, the gangs that could grow or shrink. It is a function of the state and of what is observed, and is
// brought up to date by what differs between two states (the tables are persistent), so that it costs as much
// as what has changed, also when a decision was dropped. A board that is made anew from a state is the same.

import { isDeterministic } from '../../core/system/device-class.ts';
import { shareOf } from '../model/accounts.ts';
import type { Observed } from '../model/observed.ts';
import { emptyMap, lookup, mapChanges, type PersistentMap } from '../model/persistent-map.ts';
import {
  type Avoided,
  type EndedRun,
  hasEnded,
  heldPriorityOf,
  initialState,
  isWhole,
  numberOf,
  openRuns,
  type RunState,
  type State,
  type WorkerState,
} from '../model/state.ts';
import { type Change, changesBetween, rowAt } from '../model/table.ts';
import { isBlamed, isSuspect } from './blame.ts';
import { createDevices, type Devices, deviceOf, isExclusive } from './devices.ts';
import { fitsClass } from './fit.ts';
import { createLazyHeap, type LazyHeap } from './lazy-heap.ts';
import { createPools, type Kind, type Pool, type Pools, poolKey, type Seat, type Traits } from './pools.ts';
import { createQueue, type Queue } from './queue.ts';

/** Between two elastic changes of one gang, milliseconds: each costs the gang a synchronisation. */
export const CHANGE_INTERVAL_MS = 1_000;

/** A run that gave its workers to others keeps those that it got since for so long, milliseconds. */
export const PREEMPTED_AGAIN_MS = 60_000;
/** And until it has got further, but no longer than this. */
export const NO_FURTHER_MS_MAX = 1_800_000;

/** What placing looks at. */
export interface Board {
  readonly state: State;
  readonly observed: Observed;
  readonly queue: Queue;
  readonly pools: Pools;
  readonly devices: Devices;
  /** Numbers of running runs that may get more workers. */
  readonly growing: ReadonlySet<number>;
  /** Numbers of running runs that have more than their minimum. */
  readonly shrinking: ReadonlySet<number>;
  /** Numbers of running runs with more than one worker. */
  readonly wide: ReadonlySet<number>;
  /** Numbers of running runs of this device class, `count` at most, oldest first. */
  holding(deviceClass: string, count: number): number[];
  /** Numbers of runs whose gangs store where they stand, to be released. */
  readonly pausing: ReadonlySet<number>;
  /** Numbers of running runs by the priority that they hold; none is empty. */
  readonly running: ReadonlyMap<number, ReadonlySet<number>>;
  /** Numbers of running runs that learn from a teacher. */
  readonly students: ReadonlySet<number>;
  /** Numbers of running runs that have workers on loan, by the id of the run that they are lent by; none is empty. */
  readonly lent: ReadonlyMap<string, ReadonlySet<number>>;
  /** Numbers of open runs with a budget of their own or of their sweep. */
  readonly budgeted: ReadonlySet<number>;
  /** Brings the board to this state and these connections. */
  follow(state: State, observed: Observed): void;
  run(number: number): RunState;
  /** Counts one more or one less run for a worker until the plan is undone; `alone`: what it shares with nobody. */
  lend(workerId: string, by: 1 | -1, alone?: 'worker' | 'device'): void;
  /** Forgets all loans. */
  undo(): void;
}

interface Loan {
  held: number;
  isAlone: boolean;
}

/** A board of an empty fleet. */
export function createBoard(): Board {
  let state = initialState;
  let observed: Observed = { now: 0, connected: emptyMap() };
  const queue = createQueue({ isBlamed, share: (run) => shareOf(state, run) });
  const pools = createPools();
  const devices = createDevices();
  const growing = new Set<number>();
  const shrinking = new Set<number>();
  const wide = new Set<number>();
  const budgeted = new Set<number>();
  const holding = new Map<string, LazyHeap<number>>();
  const pausing = new Set<number>();
  const running = new Map<number, Set<number>>();
  const students = new Set<number>();
  const lent = new Map<string, Set<number>>();
  /** Runs that workers were lost over. */
  const blamed = new Set<number>();
  /** Workers that hold a suspect. */
  let alone = new Set<string>();
  const loans = new Map<string, Loan>();

  const run = (number: number) => rowAt(state.runs, number) as RunState;

  function seat(id: string): void {
    const worker = lookup(state.workers, id);
    const isThere = worker !== undefined && worker.state !== 'lost';
    devices.note(id, isThere ? { deviceId: deviceOf(worker), held: heldBy(worker) } : undefined);
    pools.place(id, isLive(worker, observed.connected) ? seatOf(worker) : undefined);
  }

  const heldBy = ({ id, runs }: WorkerState) => runs.length + (loans.get(id)?.held ?? 0);

  function seatOf(worker: WorkerState): Seat {
    const { id, deviceClass, slots } = worker;
    const deviceId = deviceOf(worker);
    const isAlone = alone.has(id) || devices.exclusiveOn(deviceId) !== undefined;
    const isTaken = isAlone || loans.get(id)?.isAlone === true;
    const held = heldBy(worker);
    const before = pools.seatOf(id);
    if (before?.deviceClass === deviceClass && isAlike(before.traits, worker)) {
      const { traits, poolKey } = before;
      return { id, deviceClass, deviceId, traits, poolKey, slots, held, isTaken };
    }
    const traits = traitsOf(worker);
    return {
      ...{ id, deviceClass, deviceId, traits, poolKey: poolKey(deviceClass, traits) },
      ...{ slots, held, isTaken },
    };
  }

  function changed(
    number: number,
    before: RunState | EndedRun | undefined,
    after: typeof before,
    touched: Set<string>,
  ): void {
    if (before !== undefined && isWhole(before) && before.state === 'queued') queue.remove(before);
    const now = after !== undefined && isWhole(after) && !hasEnded(after) ? after : undefined;
    if (now?.state === 'queued') queue.add(now);
    hold(number, before, now);
    const { min, max } = now?.job.workers ?? { min: 0, max: 0 };
    const size = now?.state === 'running' ? now.gang.length : 0;
    mark(pausing, number, now?.state === 'pausing');
    rank(number, before, now);
    mark(growing, number, size > 0 && size < max);
    mark(shrinking, number, size > min);
    mark(wide, number, size > 1);
    mark(students, number, size > 0 && now?.teacherRunId !== undefined);
    mark(budgeted, number, now?.job.budget !== undefined);
    mark(blamed, number, now !== undefined && isBlamed(now));
    // Also of a run that is open no more: several decisions may lie between two states, and by the second one what
    // ended between them is a summary, or gone.
    const own =
      now !== undefined && isExclusive(now)
        ? now.gang.map(({ workerId }) => deviceOf(lookup(state.workers, workerId)!))
        : [];
    for (const device of devices.reserve(number, own))
      for (const id of devices.workersOn(device)) touched.add(id);
  }

  /** Keeps the running runs of each priority, and of each lender; both of a run only change with its row. */
  function rank(number: number, before: RunState | EndedRun | undefined, now: RunState | undefined): void {
    if (before !== undefined && isWhole(before) && before.state === 'running') {
      removeFrom(running, heldPriorityOf(before), number);
      if (before.lentByRunId !== undefined) removeFrom(lent, before.lentByRunId, number);
    }
    if (now?.state !== 'running') return;
    addTo(running, heldPriorityOf(now), number);
    if (now.lentByRunId !== undefined) addTo(lent, now.lentByRunId, number);
  }

  /** Keeps the running runs of each device class; that of a run never changes. */
  function hold(number: number, before: RunState | EndedRun | undefined, now: RunState | undefined): void {
    if (now !== undefined && now.gang.length > 0) {
      const { deviceClass = '' } = now;
      let numbers = holding.get(deviceClass);
      if (numbers === undefined) {
        numbers = createLazyHeap<number>((a, b) => a < b);
        holding.set(deviceClass, numbers);
      }
      numbers.add(number);
    } else if (before?.deviceClass !== undefined) holding.get(before.deviceClass)?.delete(number);
  }

  function followSuspects(touched: Set<string>): void {
    const now = new Set<string>();
    for (const number of blamed) {
      const suspect = run(number);
      if (isSuspect(suspect, observed)) for (const { workerId } of suspect.gang) now.add(workerId);
    }
    for (const id of alone) if (!now.has(id)) touched.add(id);
    for (const id of now) if (!alone.has(id)) touched.add(id);
    alone = now;
  }

  return {
    get state() {
      return state;
    },
    get observed() {
      return observed;
    },
    ...{ queue, pools, devices, growing, shrinking, wide, budgeted, pausing, running, students, lent, run },
    holding: (deviceClass, count) => holding.get(deviceClass)?.firstOf(count) ?? [],
    follow(next, seen) {
      const before = state;
      const touched = new Set<string>();
      for (const [id] of mapChanges(before.workers, next.workers)) touched.add(id);
      for (const [id] of mapChanges(observed.connected, seen.connected)) touched.add(id);
      state = next;
      observed = seen;
      for (const [number, from, to] of runChanges(before, next)) changed(number, from, to, touched);
      followSuspects(touched);
      for (const id of touched) seat(id);
    },
    lend(workerId, by, alone) {
      const note = (id: string, more: number) => {
        const loan = loans.get(id) ?? { held: 0, isAlone: false };
        loans.set(id, { held: loan.held + more, isAlone: alone !== undefined || loan.isAlone });
        seat(id);
      };
      note(workerId, by);
      if (alone !== 'device') return;
      const { deviceId } = pools.seatOf(workerId)!;
      for (const id of devices.workersOn(deviceId)) if (id !== workerId) note(id, 0);
    },
    undo() {
      const lent = [...loans.keys()];
      loans.clear();
      for (const id of lent) seat(id);
    },
  };
}

/**
 * Runs that differ. Of a state after none those that are open: what has ended is nothing to the board, and may be long.
 */
function runChanges(before: State, next: State): Iterable<Change<RunState | EndedRun>> {
  if (before.runs.size > 0) return changesBetween(before.runs, next.runs);
  return openRuns(next).map((run) => [numberOf(run.id), undefined, run]);
}

function addTo<K>(sets: Map<K, Set<number>>, key: K, number: number): void {
  const set = sets.get(key) ?? new Set();
  sets.set(key, set.add(number));
}

function removeFrom<K>(sets: Map<K, Set<number>>, key: K, number: number): void {
  const set = sets.get(key);
  set?.delete(number);
  if (set?.size === 0) sets.delete(key);
}

function mark(set: Set<number>, number: number, isIn: boolean): void {
  if (isIn) set.add(number);
  else set.delete(number);
}

function isLive(worker: WorkerState | undefined, connected: PersistentMap<true>): worker is WorkerState {
  return worker?.state === 'attached' && lookup(connected, worker.id) === true;
}

/** That of a worker, whether it is there or not. */
export function kindOf(worker: WorkerState): Kind {
  const { deviceClass } = worker;
  return { deviceClass, isDeterministic: isDeterministic(deviceClass), traits: traitsOf(worker) };
}

/** What runs may require of a worker. */
export function traitsOf({ deviceKind, memoryBytes = 0, labels = NO_LABELS }: WorkerState): Traits {
  return { deviceKind, memoryGb: Math.floor(memoryBytes / 1e9), labels };
}

const NO_LABELS = {};

/** Whether these are the traits of a worker, as far as that is seen without looking into its labels. */
function isAlike(traits: Traits, { deviceKind, memoryBytes = 0, labels = NO_LABELS }: WorkerState): boolean {
  if (traits.labels !== labels || traits.deviceKind !== deviceKind) return false;
  return traits.memoryGb === Math.floor(memoryBytes / 1e9);
}

/** Why and until when a run is kept from workers now, of those that are there. */
export function avoidedNow(board: Board, run: RunState): Avoided[] {
  if (run.avoided.length === 0) return [];
  return run.avoided.filter(
    ({ workerId, untilMs }) => untilMs > board.observed.now && board.pools.seatOf(workerId) !== undefined,
  );
}

/**
 * The device classes of which a run takes its workers: those that could give it its minimum if nothing else
 * ran, and of several only one when it needs all of one class, that with most free workers. Empty: this fleet
 * cannot give it its minimum.
 */
export function classesFor(board: Board, run: RunState): string[] {
  const avoided = avoidedNow(board, run);
  const { min } = run.job.workers;
  const pools = board.pools
    .all()
    .filter((pool) => fitsClass(run, pool))
    .map(({ key, live, devices, free, deviceClass }) => ({
      deviceClass,
      free,
      usable: Math.min(devices, live - avoided.filter((one) => isIn(board, one, key)).length),
    }));
  if (!needsOneClass(run)) {
    const usable = pools.reduce((sum, pool) => sum + pool.usable, 0);
    return usable >= min ? [...new Set(pools.map(({ deviceClass }) => deviceClass))] : [];
  }
  const [best] = [...groupedBy(pools, ({ deviceClass }) => deviceClass).values()]
    .map((alike) => ({
      deviceClass: alike[0]!.deviceClass,
      free: alike.reduce((sum, { free }) => sum + free, 0),
      usable: alike.reduce((sum, { usable }) => sum + usable, 0),
    }))
    .filter(({ usable }) => usable >= min)
    .sort((a, b) => b.free - a.free || b.usable - a.usable);
  return best === undefined ? [] : [best.deviceClass];
}

function isIn(board: Board, { workerId }: Avoided, key: string): boolean {
  const seat = board.pools.seatOf(workerId);
  return seat !== undefined && board.pools.poolOf(seat).key === key;
}

function groupedBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group === undefined) groups.set(keyOf(item), [item]);
    else group.push(item);
  }
  return groups;
}

/** The workers of the first gang of an exact run have one class among them, whichever it is. */
export function needsOneClass(run: RunState): boolean {
  return run.job.training.exact && run.deviceClass === undefined;
}

/** Which of the workers that fit a run it may have. */
export interface Selection {
  /** Pools of which it takes nothing. */
  readonly isClosed: (pool: Pool) => boolean;
  /** Workers that it does not take. */
  readonly without: ReadonlySet<string>;
}

/**
 * Free workers for a run, `count` at most, each on a device of its own, least loaded first; of the class that has most
 * of them when the run is exact and has no class yet. A suspect gets workers that hold nothing, and an exclusive run
 * devices that hold nothing. `members`: those that it has already.
 */
export function chooseFree(
  board: Board,
  run: RunState,
  how: Partial<Selection> & { readonly count: number; readonly members?: Iterable<string> },
): Seat[] {
  const { isClosed = () => false } = how;
  if (board.pools.free === 0) return [];
  const needsDevice = isExclusive(run);
  const idleOnly = needsDevice || isSuspect(run, board.observed);
  const seatOf = (id: string) => board.pools.seatOf(id);
  const own = [...(how.members ?? [])].map((id) => seatOf(id)?.deviceId ?? id);
  const avoided = new Set([
    ...avoidedNow(board, run).map(({ workerId }) => workerId),
    ...(how.without ?? []),
  ]);
  const onOwnDevice = () => {
    const used = new Set(own);
    return (id: string) => {
      const { deviceId } = seatOf(id)!;
      if (avoided.has(id) || used.has(deviceId)) return false;
      if (needsDevice && board.devices.heldOn(deviceId) > 0) return false;
      used.add(deviceId);
      return true;
    };
  };
  const open = board.pools.all().filter((pool) => fitsClass(run, pool) && !isClosed(pool));
  const available = (pool: Pool) => {
    let refused = 0;
    for (const id of avoided) {
      const seat = board.pools.seatOf(id);
      if (seat === undefined || board.pools.poolOf(seat) !== pool) continue;
      if (seat.held >= seat.slots || seat.isTaken) continue;
      if (!idleOnly || seat.held === 0) refused += 1;
    }
    return (idleOnly ? pool.idle : pool.free) - refused;
  };
  const choices = open.map((pool) => ({
    deviceClass: pool.deviceClass,
    available: available(pool),
    chosen: pool.leastLoaded(how.count, { idleOnly, accept: onOwnDevice() }),
  }));
  if (needsOneClass(run)) {
    const [most] = [...groupedBy(choices, ({ deviceClass }) => deviceClass).values()]
      .map((alike) => ({
        available: alike.reduce((sum, one) => sum + one.available, 0),
        chosen: firstOfEachDevice(alike, how.count),
      }))
      .filter(({ chosen }) => chosen.length > 0)
      .sort(
        (a, b) =>
          b.chosen.length - a.chosen.length ||
          b.available - a.available ||
          byLoad(a.chosen[0]!, b.chosen[0]!),
      );
    return most?.chosen ?? [];
  }
  return firstOfEachDevice(choices, how.count);
}

/** The least loaded of what several pools give, one of each device. */
function firstOfEachDevice(choices: readonly { readonly chosen: readonly Seat[] }[], count: number): Seat[] {
  const all = choices.flatMap(({ chosen }) => chosen);
  if (choices.length < 2) return all;
  const byDevice = new Map<string, Seat>();
  for (const seat of all.sort(byLoad)) if (!byDevice.has(seat.deviceId)) byDevice.set(seat.deviceId, seat);
  return [...byDevice.values()].slice(0, count);
}

/** The order in which workers are chosen. */
export function byLoad(a: Seat, b: Seat): number {
  return a.held - b.held || (a.id < b.id ? -1 : 1);
}

/** The run trains, and all members are connected. */
export function isSettled(run: RunState, connected: PersistentMap<true>): boolean {
  // With its last checkpoint stored a run only evaluates; another gang would make it do that twice.
  if (run.checkpoints.at(-1)?.stage === run.job.training.epochs) return false;
  return run.gang.every((member) => lookup(connected, member.workerId) === true);
}

/**
 * Not too soon after its last change, nor while one of its members is away and may be about to be lost or to
 * come back.
 */
export function mayChange({ observed }: Board, run: RunState): boolean {
  if (run.state === 'queued') return true;
  return observed.now - run.changedAtMs >= CHANGE_INTERVAL_MS && isSettled(run, observed.connected);
}
