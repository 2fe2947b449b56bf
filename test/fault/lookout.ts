// Watches a fleet through restarts of its coordinator: the newest snapshot, and when a run last got further. Decides nothing;
// the test waits here for conditions.

import { streamed } from '../../core/net/grpc-client.ts';
import type { Run, Snapshot, Worker } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import type { TestFleet } from '../support/fleet.ts';
import { until } from '../support/processes.ts';

export interface Lookout {
  run(id: string, condition: (run: Run) => boolean, deadlineMs: number): Promise<Run>;
  any(condition: (run: Run) => boolean, what: string, deadlineMs: number): Promise<Run>;
  worker(id: string, condition: (worker: Worker) => boolean, deadlineMs: number): Promise<Worker>;
  /** Resolves when some run has committed a step, or ended, since the call. */
  progress(deadlineMs?: number): Promise<void>;
  close(): void;
}

export function startLookout(fleet: TestFleet): Lookout {
  const closing = new AbortController();
  let newest: Snapshot | undefined;
  /** Counts changes of any run's step. */
  let changes = 0;

  async function watch(): Promise<void> {
    while (!closing.signal.aborted) {
      try {
        const call = fleet.client.watch({
          planId: '',
          sweepId: '',
          runId: '',
          rateHz: 20,
          untilFinished: false,
        });
        for await (const snapshot of streamed(call, closing.signal)) take(snapshot);
      } catch {
        // The coordinator is away; whoever waits has a deadline.
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }

  function take(snapshot: Snapshot): void {
    const steps = (s: Snapshot | undefined) =>
      new Map(s?.runs.map((run) => [run.id, `${run.step} ${run.state}`]));
    const before = steps(newest);
    for (const [id, now] of steps(snapshot))
      if (before.get(id) !== undefined && before.get(id) !== now) changes += 1;
    newest = snapshot;
  }

  async function found<T>(what: string, look: () => T | undefined, deadlineMs: number): Promise<T> {
    try {
      return await until(what, look, deadlineMs);
    } catch (cause) {
      throw new Error(`${(cause as Error).message}; last seen ${describe(newest)}`, { cause });
    }
  }

  void watch();
  return {
    run: (id, condition, deadlineMs) =>
      found(`run ${id}`, () => newest?.runs.find((run) => run.id === id && condition(run)), deadlineMs),
    any: (condition, what, deadlineMs) => found(what, () => newest?.runs.find(condition), deadlineMs),
    worker: (id, condition, deadlineMs) =>
      found(
        `worker ${id}`,
        () => newest?.workers.find((worker) => worker.id === id && condition(worker)),
        deadlineMs,
      ),
    async progress(deadlineMs = 60_000) {
      const before = changes;
      await found('a run gets further', () => (changes > before ? true : undefined), deadlineMs);
    },
    close: () => closing.abort(),
  };
}

function describe(snapshot: Snapshot | undefined): string {
  if (snapshot === undefined) return 'nothing';
  return JSON.stringify({
    runs: snapshot.runs
      .filter((run) => run.state !== 'done')
      .map((run) => [run.id, run.state, run.reason, run.generation, run.workerIds, run.step]),
    workers: snapshot.workers.map((worker) => [worker.id, worker.state, worker.reason]),
  });
}
