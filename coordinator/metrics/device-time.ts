// For how long runs have held devices. Follows who holds what from event to event; a scrape takes in what runs
// hold at the moment, so that a long run is counted while it goes on. What was held while no coordinator led is
// counted by none.

import { lookup } from '../model/persistent-map.ts';
import { hasGang, isWhole, openRuns, type RunState, runWith, type State } from '../model/state.ts';

/** What device time is counted by. */
export interface DeviceTimeLabels {
  /** Id of the sweep; empty: none. */
  readonly sweep: string;
  readonly role: RunState['job']['kind'];
  readonly device: 'cpu' | 'gpu';
}

/** The time of the devices of one coordinator's fleet. */
export interface DeviceTime {
  /** Decisions begin with this state. */
  begin(state: State, nowMs: number): void;
  /** Something happened to the run. */
  changed(after: State, runId: string, nowMs: number): void;
  /** Counts what is held at the moment up to now. */
  collect(nowMs: number): void;
  /** Another coordinator may decide from now on: what is held is its to count. */
  leave(): void;
}

interface Held {
  sinceMs: number;
  readonly devices: readonly { readonly labels: DeviceTimeLabels; readonly share: number }[];
}

/** Counts with this function. */
export function createDeviceTime(count: (labels: DeviceTimeLabels, seconds: number) => void): DeviceTime {
  const held = new Map<string, Held>();

  function settle(one: Held, nowMs: number): void {
    // The clock of the first event after a change of coordinators may lie behind the one that was read here.
    const seconds = Math.max(0, nowMs - one.sinceMs) / 1000;
    one.sinceMs = Math.max(nowMs, one.sinceMs);
    for (const { labels, share } of one.devices) count(labels, seconds * share);
  }

  function hold(state: State, run: RunState, nowMs: number): void {
    if (run.gang.length === 0) return;
    const one = { sinceMs: nowMs, devices: devicesOf(state, run) };
    held.set(run.id, one);
    // The series is there at 0 before anything is counted.
    settle(one, nowMs);
  }

  return {
    begin(state, nowMs) {
      held.clear();
      for (const run of openRuns(state)) hold(state, run, nowMs);
    },
    changed(after, runId, nowMs) {
      const before = held.get(runId);
      if (before !== undefined) settle(before, nowMs);
      held.delete(runId);
      const run = runWith(after, runId);
      if (run !== undefined && isWhole(run) && hasGang(run)) hold(after, run, nowMs);
    },
    collect(nowMs) {
      for (const one of held.values()) settle(one, nowMs);
    },
    leave: () => held.clear(),
  };
}

function devicesOf(state: State, run: RunState): Held['devices'] {
  const shares = { cpu: 0, gpu: 0 };
  for (const { workerId } of run.gang) {
    const worker = lookup(state.workers, workerId);
    if (worker === undefined) continue;
    const { deviceKind, deviceCount = 1, slots } = worker;
    shares[deviceKind === 'cpu' ? 'cpu' : 'gpu'] += deviceCount / slots;
  }
  const common = { sweep: run.sweepId ?? '', role: run.job.kind };
  return (['cpu', 'gpu'] as const)
    .filter((device) => shares[device] > 0)
    .map((device) => ({ labels: { ...common, device }, share: shares[device] }));
}
