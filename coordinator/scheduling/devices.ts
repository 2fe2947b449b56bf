// Which workers share a device, and which run has one for itself. Slots are places in a process; the device is what
// computes. So the members of a gang are on devices of their own, because two on one would only share its speed, and
// a run that is exclusive is placed where the workers of a device hold nothing, and keeps all others off.

import type { RunState, WorkerState } from '../model/state.ts';

/** A run shares its devices with no other: its spec says so, or there was too little memory for it beside others. */
export function isExclusive({ job, memory }: RunState): boolean {
  return memory !== undefined || job.require?.device === 'exclusive';
}

/** The device of a worker, which it may share with others. */
export function deviceOf({ id, deviceId }: WorkerState): string {
  return deviceId ?? id;
}

/** Every device of the fleet. */
export interface Devices {
  /** Notes a worker that is not lost, with the number of its runs; undefined: it is gone. */
  note(workerId: string, worker: { readonly deviceId: string; readonly held: number } | undefined): void;
  /** Workers of it that are not lost. */
  workersOn(deviceId: string): readonly string[];
  /** Runs of all its workers. */
  heldOn(deviceId: string): number;
  /** Gives a run, by its number, these devices for itself, or takes them back. Returns those that changed. */
  reserve(run: number, deviceIds: readonly string[]): readonly string[];
  /** The number of the run that has it for itself. */
  exclusiveOn(deviceId: string): number | undefined;
  /** Devices that a run has for itself. */
  exclusive(): Iterable<string>;
}

/** No worker yet. */
export function createDevices(): Devices {
  const noted = new Map<string, { readonly deviceId: string; readonly held: number }>();
  const workers = new Map<string, Set<string>>();
  const holders = new Map<string, Set<number>>();
  const reserved = new Map<number, readonly string[]>();
  return {
    note(id, worker) {
      const before = noted.get(id);
      if (before !== undefined && before.deviceId !== worker?.deviceId) drop(workers, before.deviceId, id);
      if (worker === undefined) noted.delete(id);
      else {
        noted.set(id, worker);
        if (before?.deviceId !== worker.deviceId) put(workers, worker.deviceId, id);
      }
    },
    workersOn: (deviceId) => [...(workers.get(deviceId) ?? [])],
    heldOn(deviceId) {
      let held = 0;
      for (const id of workers.get(deviceId) ?? []) held += noted.get(id)!.held;
      return held;
    },
    reserve(run, deviceIds) {
      const before = reserved.get(run) ?? [];
      if (before.length + deviceIds.length === 0) return before;
      for (const id of before) drop(holders, id, run);
      for (const id of deviceIds) put(holders, id, run);
      if (deviceIds.length === 0) reserved.delete(run);
      else reserved.set(run, deviceIds);
      return [...new Set([...before, ...deviceIds])];
    },
    exclusiveOn: (deviceId) => holders.get(deviceId)?.values().next().value,
    exclusive: () => holders.keys(),
  };
}

function put<K, V>(sets: Map<K, Set<V>>, key: K, value: V): void {
  const set = sets.get(key) ?? new Set();
  sets.set(key, set.add(value));
}

function drop<K, V>(sets: Map<K, Set<V>>, key: K, value: V): void {
  const set = sets.get(key);
  set?.delete(value);
  if (set?.size === 0) sets.delete(key);
}
