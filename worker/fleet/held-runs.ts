// The runs that a worker holds, each from its first assignment until nothing of it is left. Carries out what
// holdings.ts decides of assignments and releases, and reports the end of each run.

import { type FleetError, toFleetError } from '../../core/errors.ts';
import type { Assign, Lease, Release } from '../../proto/gen/pocketfleet/v1/worker.ts';
import { type HeldRun, holdRun } from '../run/run.ts';
import type { Services } from '../run/services.ts';
import { type Holding, onAssign, onRelease } from './holdings.ts';

export interface HeldRuns {
  assign(assign: Assign): void;
  release(release: Release): void;
  leases(): Lease[];
  count(): number;
  /** Ends all runs and reports nothing; resolves when nothing of them is left. */
  abandon(reason: string): Promise<void>;
}

export function createHeldRuns(services: Services): HeldRuns {
  const { log, workerId } = services;
  const runs = new Map<string, HeldRun>();
  const holdings = new Map<string, Holding>();
  let abandoned = false;

  const keep = (runId: string, holding: Holding | undefined) => {
    if (holding === undefined) holdings.delete(runId);
    else holdings.set(runId, holding);
  };
  const confirmRelease = (runId: string, generation: number) =>
    services.report({ $case: 'released', value: { runId, generation } });
  const start = (assign: Assign) => {
    const { runId, generation } = assign;
    keep(runId, { generation, leaving: false, next: undefined });
    const run = holdRun(services, assign);
    runs.set(runId, run);
    void run.ended.then(
      () => {
        const next = holdings.get(runId)?.next;
        runs.delete(runId);
        keep(runId, undefined);
        if (abandoned) return;
        confirmRelease(runId, run.generation());
        if (next !== undefined) start(next);
      },
      (caught: unknown) => crash(toFleetError(caught, `run ${runId}`)),
    );
  };

  return {
    assign(assign) {
      const { runId } = assign;
      const { verb, reason, action, holding } = onAssign(holdings.get(runId), assign, workerId);
      log.info({ run: runId, verb }, `assign: ${reason}`);
      keep(runId, holding);
      if (action === 'start') start(assign);
      if (action === 'move') runs.get(runId)?.assign(assign);
    },
    release({ runId, generation, reason: why }) {
      const { verb, reason, action, holding } = onRelease(holdings.get(runId), generation);
      log.info({ run: runId, verb }, `release: ${reason}; ${why}`);
      keep(runId, holding);
      if (action === 'end') runs.get(runId)?.release(why);
      if (action === 'confirm') confirmRelease(runId, generation);
    },
    leases: () => [...runs.values()].map((run) => run.lease()),
    count: () => runs.size,
    async abandon(reason) {
      abandoned = true;
      for (const run of runs.values()) run.release(reason);
      await Promise.all([...runs.values()].map((run) => run.ended));
    },
  };
}

/**
 * A run handles every failure of its work. What gets past that is a mistake in this program, and going on
 * would hide it.
 */
function crash(error: FleetError): void {
  setImmediate(() => {
    throw error;
  });
}
