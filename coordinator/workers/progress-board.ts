// How far and how fast runs are: the newest step point of each, and what each worker computes for it, as
// workers report it a few times a second. Decides which reports are old. Volatile by design: after a restart
// of the coordinator all of it is there again within a second.

import { LRUCache } from 'lru-cache';
import type { StepPoint } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { hasGang, type RunState } from '../model/state.ts';

/** The newest report about a run. */
export interface Progress {
  readonly generation: number;
  readonly point: StepPoint;
  /** The stage of its teacher that a student waits for; 0: it does not wait. */
  readonly waitingForStage: number;
  /** Steps since the last sum of a round of local steps; 0 where each step is summed. */
  readonly openRoundSteps: number;
}

/** The newest reports of all runs and workers. */
export interface ProgressBoard {
  of(runId: string): Progress | undefined;
  /**
   * Takes a report. Returns false, and drops it, when it is old: of another generation, of no member, or of
   * an earlier step.
   */
  report(run: RunState, workerId: string, progress: Progress): boolean;
  /**
   * Takes what a worker computes for each run that it holds, images a second; runs that are not named are no
   * longer its.
   */
  measured(workerId: string, speeds: ReadonlyMap<string, number>): void;
  speedOf(runId: string, workerId: string): number | undefined;
  /**
   * Takes which of a worker's runs wait for the broker's store, and why. Returns whether that has changed.
   */
  waiting(workerId: string, reasons: ReadonlyMap<string, string>): boolean;
  /** Why a run waits for the store, as a member of its gang reports it. */
  storeWaitOf(run: RunState): string | undefined;
  /** Some run waits for the store. */
  readonly anyStoreWait: boolean;
  /** Drops what a worker reported of itself; the points of its runs stay. */
  removeWorker(workerId: string): void;
}

/** Runs whose last point is kept; the loss of a run that ended long ago is in its history. */
const RUNS_MAX = 2_000;

/** A board without reports. */
export function createProgressBoard(): ProgressBoard {
  const newest = new LRUCache<string, Progress>({ max: RUNS_MAX });
  /** By worker, then by run. */
  const speeds = new Map<string, ReadonlyMap<string, number>>();
  const waits = new Map<string, ReadonlyMap<string, string>>();
  return {
    of: (runId) => newest.peek(runId),
    report(run, workerId, progress) {
      const rank = run.gang.findIndex((member) => member.workerId === workerId);
      if (!hasGang(run) || run.generation !== progress.generation || rank < 0) return false;
      const before = newest.peek(run.id);
      // Members are at most a step apart: a report about an earlier step is older, although it comes later.
      const older =
        before !== undefined &&
        before.generation === progress.generation &&
        before.point.step > progress.point.step;
      if (older) return false;
      newest.set(run.id, progress);
      return true;
    },
    measured: (workerId, measured) => void speeds.set(workerId, measured),
    speedOf: (runId, workerId) => speeds.get(workerId)?.get(runId),
    waiting(workerId, reasons) {
      const before = waits.get(workerId);
      if (reasons.size === 0) waits.delete(workerId);
      else waits.set(workerId, reasons);
      return JSON.stringify([...(before ?? [])]) !== JSON.stringify([...reasons]);
    },
    storeWaitOf: (run) =>
      run.gang.map(({ workerId }) => waits.get(workerId)?.get(run.id)).find((reason) => reason !== undefined),
    get anyStoreWait() {
      return waits.size > 0;
    },
    removeWorker(workerId) {
      speeds.delete(workerId);
      waits.delete(workerId);
    },
  };
}
