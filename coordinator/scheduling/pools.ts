// The workers that may get work, by device class and by how many runs each holds: "the least loaded worker of
// this class" is one look, and so is "how many of this class are free".

import { isDeterministic } from '../../core/system/device-class.ts';
import { createLazyHeap, type LazyHeap } from './lazy-heap.ts';

/** What a run may require of a worker. */
export interface Traits {
  readonly deviceKind: string;
  /** Of its device, GB of 10^9 bytes, whole ones, so that machines of one kind have one pool; 0: not known. */
  readonly memoryGb: number;
  readonly labels: Readonly<Record<string, string>>;
}

/** A worker as placing sees it. */
export interface Seat {
  readonly id: string;
  readonly deviceClass: string;
  /** Of the device, which it may share with others. */
  readonly deviceId: string;
  readonly traits: Traits;
  /** Of its pool: `poolKey`. */
  readonly poolKey: string;
  readonly slots: number;
  /** Runs that it holds, with those that it is about to get. */
  readonly held: number;
  /** It, or its device, holds a run that shares with nobody. */
  readonly isTaken: boolean;
}

/** The workers of one device class that are alike in what runs may require. */
export interface Pool {
  readonly key: string;
  readonly deviceClass: string;
  readonly traits: Traits;
  /** Equal inputs give equal bits on it. */
  readonly isDeterministic: boolean;
  /** Workers that are there. */
  readonly live: number;
  /** Their devices. */
  readonly devices: number;
  /** The ids of their devices. */
  deviceIds(): string[];
  /** Workers with a free slot. */
  readonly free: number;
  /** Workers that hold nothing. */
  readonly idle: number;
  /** Workers with a free slot that is not given out, because a run that shares with nobody is there. */
  readonly taken: number;
  /** The free ones that are accepted, least loaded first, then by id; `idleOnly`: those that hold nothing. */
  leastLoaded(count: number, how: { idleOnly: boolean; accept: (id: string) => boolean }): Seat[];
}

/** What decides whether a worker can train a run. */
export type Kind = Pick<Pool, 'deviceClass' | 'isDeterministic' | 'traits'>;

/** All pools. */
export interface Pools {
  /** Workers that are there. */
  readonly live: number;
  /** Workers with a free slot. */
  readonly free: number;
  /** Puts a worker in its place, takes it to another, or, without a seat, takes it out. */
  place(id: string, seat: Seat | undefined): void;
  seatOf(id: string): Seat | undefined;
  /** The pool of a worker that is there. */
  poolOf(seat: Seat): Pool;
  /** In the order of the names of the classes. */
  all(): readonly Pool[];
}

interface Mutable extends Pool {
  live: number;
  free: number;
  idle: number;
  taken: number;
  /** Free workers by the number of runs that they hold. */
  readonly byLoad: LazyHeap<string>[];
  /** Workers of each device. */
  readonly onDevice: Map<string, number>;
}

/** The key of the pool of workers like this; names of labels in order, so that equal traits have one. */
export function poolKey(deviceClass: string, { deviceKind, memoryGb, labels }: Traits): string {
  const named = Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([deviceClass, deviceKind, memoryGb, named]);
}

/** No worker yet. */
export function createPools(): Pools {
  const seats = new Map<string, Seat>();
  const pools = new Map<string, Mutable>();
  let sorted: Mutable[] | undefined;
  let free = 0;

  function poolOf({ deviceClass, traits, poolKey: key }: Seat): Mutable {
    const known = pools.get(key);
    if (known !== undefined) return known;
    const byLoad: LazyHeap<string>[] = [];
    const onDevice = new Map<string, number>();
    const pool: Mutable = {
      ...{ key, deviceClass, traits },
      isDeterministic: isDeterministic(deviceClass),
      ...{ live: 0, free: 0, idle: 0, taken: 0, byLoad, onDevice },
      get devices() {
        return onDevice.size;
      },
      deviceIds: () => [...onDevice.keys()],
      leastLoaded(count, { idleOnly, accept }) {
        const chosen: Seat[] = [];
        for (const [load, heap] of byLoad.entries()) {
          if (chosen.length >= count || (idleOnly && load > 0)) break;
          for (const id of heap.firstOf(count - chosen.length, accept)) chosen.push(seats.get(id)!);
        }
        return chosen;
      },
    };
    pools.set(key, pool);
    sorted = undefined;
    return pool;
  }

  function count(seat: Seat, by: 1 | -1): void {
    const pool = poolOf(seat);
    pool.live += by;
    const others = (pool.onDevice.get(seat.deviceId) ?? 0) + by;
    if (others > 0) pool.onDevice.set(seat.deviceId, others);
    else pool.onDevice.delete(seat.deviceId);
    countLoad(pool, seat, by);
  }

  function countLoad(pool: Mutable, seat: Seat, by: 1 | -1): void {
    if (seat.isTaken && seat.held < seat.slots) pool.taken += by;
    if (!isFree(seat)) return;
    pool.free += by;
    free += by;
    if (seat.held === 0) pool.idle += by;
    while (pool.byLoad.length <= seat.held) pool.byLoad.push(createLazyHeap((a, b) => a < b));
    const heap = pool.byLoad[seat.held]!;
    if (by === 1) heap.add(seat.id);
    else heap.delete(seat.id);
  }

  return {
    get live() {
      return seats.size;
    },
    get free() {
      return free;
    },
    place(id, seat) {
      const before = seats.get(id);
      if (seat === undefined) seats.delete(id);
      else seats.set(id, seat);
      // Most that are placed stay where they are and hold one run more or less.
      if (before !== undefined && before.poolKey === seat?.poolKey && before.deviceId === seat.deviceId) {
        const pool = poolOf(seat);
        countLoad(pool, before, -1);
        countLoad(pool, seat, 1);
        return;
      }
      if (before !== undefined) count(before, -1);
      if (seat !== undefined) count(seat, 1);
    },
    seatOf: (id) => seats.get(id),
    poolOf,
    all() {
      sorted ??= [...pools.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
      return sorted;
    },
  };
}

/** Whether a worker has a slot that may be given out. */
export function isFree({ held, slots, isTaken }: Seat): boolean {
  return held < slots && !isTaken;
}
