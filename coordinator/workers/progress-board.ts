// How far and how fast runs are: the newest step point of each, and what each worker computes for it, as workers report it a
// few times a second. Volatile by design: after a restart of the coordinator it is there again within a second.

import { LRUCache } from 'lru-cache';
import type { StepPoint } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import type { RunState } from '../model/state.ts';

export interface Progress {
  readonly generation: number;
  readonly point: StepPoint;
  /** Teacher's stage that a student waits for; 0: it does not wait. */
  readonly waitingForStage: number;
  /** Steps of a round that is not summed yet. */
  readonly openRoundSteps: number;
}

export interface ProgressBoard {
  of(runId: string): Progress | undefined;
  /** Takes a report about the current generation; others are old. */
  report(run: RunState, workerId: string, progress: Progress): boolean;
  /** What a worker computes for the runs it holds, images a second. Runs that it does not name are not its any more. */
  measured(workerId: string, speeds: ReadonlyMap<string, number>): void;
  speedOf(runId: string, workerId: string): number | undefined;
  /** Which of a worker's runs wait for the broker's store, and why; true when that has changed. */
  waiting(workerId: string, reasons: ReadonlyMap<string, string>): boolean;
  /** Why a run waits for the store, as a member of its gang says. */
  storeWaitOf(run: RunState): string | undefined;
  /** Some run waits for the store. */
  readonly anyStoreWait: boolean;
  forgetWorker(workerId: string): void;
}

/** Runs whose last point is kept; the loss of a run that ended long ago is in its history. */
const RUNS_MAX = 2_000;

export function createProgressBoard(): ProgressBoard {
  const newest = new LRUCache<string, Progress>({ max: RUNS_MAX });
  /** By worker, then by run. */
  const speeds = new Map<string, ReadonlyMap<string, number>>();
  const waits = new Map<string, ReadonlyMap<string, string>>();
  return {
    of: (runId) => newest.peek(runId),
    report(run, workerId, progress) {
      const rank = run.gang.findIndex((member) => member.workerId === workerId);
      if (run.state !== 'running' || run.generation !== progress.generation || rank < 0) return false;
      const before = newest.peek(run.id);
      // Members are at most a step apart; what one says later about an earlier step is older news.
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
    forgetWorker(workerId) {
      speeds.delete(workerId);
      waits.delete(workerId);
    },
  };
}
