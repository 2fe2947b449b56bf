// The control plane as users have it: nats-server, the coordinator as a process of its own, and one process
// of workers that end their runs at once or at random, over real gRPC streams.

import { streamed } from '../../core/net/grpc-client.ts';
import { startFleet, type TestFleet } from '../../test/support/fleet.ts';
import { atLeast, atMost, type Goal, median, say } from '../goals.ts';
import { cpuSeconds } from '../processor-time.ts';
import { quantile } from './processor.ts';
import { attachedWorkerFleet, type WorkerFleet } from './worker-fleet.ts';

/** A coordinator has as long for the workers of a busy machine. */
const PATIENT = { POCKETFLEET_LOG_LEVEL: 'warn' };

const sweepText = (trials: number, parallelism = 0) => `
kind: sweep
name: empty
space: { channels: 2, layers: 4, embedding: 16 }
strategy: { trials: ${trials} }
evaluation: { training: { epochs: 1, batch: 16, shards: 8 }, verification: { pairs: 40 } }
data: { kind: synthetic, identities: 12, images: 8, holdout: 4 }
parallelism: ${parallelism}
`;

interface Setting {
  readonly fleet: TestFleet;
  readonly workers: WorkerFleet;
}

/** A fleet with as many workers, for as long as the measurement takes. */
async function withFleet<T>(workers: number, measure: (setting: Setting) => Promise<T>): Promise<T> {
  const fleet = await startFleet({ workers: [], coordinator: PATIENT });
  let process: WorkerFleet | undefined;
  try {
    process = await attachedWorkerFleet({ endpoints: fleet.endpoint, token: fleet.token, workers });
    return await measure({ fleet, workers: process });
  } finally {
    await process?.stop();
    await fleet.stop();
  }
}

const pass = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

const THROUGHPUT_WORKERS = 64;
const WARM_MS = 3_000;
const MEASURED_MS = 10_000;

/** Trials that end at once: how many a second, and what one costs the coordinator. */
export async function benchThroughput(): Promise<{ goals: Goal[]; rows: unknown }> {
  const row = await withFleet(THROUGHPUT_WORKERS, async ({ fleet, workers }) => {
    await fleet.submit(sweepText(1_000_000));
    await pass(WARM_MS);
    const at = () => ({
      ms: performance.now(),
      coordinator: cpuSeconds([fleet.coordinatorPid()]),
      nats: cpuSeconds([fleet.nats.pid]),
      workers: cpuSeconds([workers.pid]),
    });
    await workers.count();
    const from = at();
    await pass(MEASURED_MS);
    const { finished } = await workers.count();
    const to = at();
    const perTrial = (key: 'coordinator' | 'nats' | 'workers') => (1000 * (to[key] - from[key])) / finished;
    return {
      trialsPerSecond: (1000 * finished) / (to.ms - from.ms),
      coordinatorMs: perTrial('coordinator'),
      natsMs: perTrial('nats'),
      workersMs: perTrial('workers'),
    };
  });
  say(
    `empty trials: ${row.trialsPerSecond.toFixed(0)} a second; processor time of one: coordinator ${row.coordinatorMs.toFixed(2)} ms, broker ${row.natsMs.toFixed(2)}, workers ${row.workersMs.toFixed(2)}`,
  );
  return {
    goals: [
      atMost('throughput: coordinator over real processes, a trial', row.coordinatorMs, 0.5, 'ms'),
      atLeast('throughput: empty trials', row.trialsPerSecond, 1_000, 'a second'),
    ],
    rows: row,
  };
}

const TURNAROUND_WORKERS = 100;
const WATCHERS = 10;

/** From a freed slot to the next candidate in it, while people watch. */
export async function benchTurnaround(): Promise<{ goals: Goal[]; rows: unknown }> {
  const row = await withFleet(TURNAROUND_WORKERS, async ({ fleet, workers }) => {
    workers.pace(300, 1_700);
    const { sweepIds } = await fleet.submit(sweepText(1_000_000));
    const leaving = new AbortController();
    const watchers = Array.from({ length: WATCHERS }, () => watch(fleet, sweepIds[0] ?? '', leaving.signal));
    await pass(WARM_MS);
    await workers.count();
    const from = cpuSeconds([fleet.coordinatorPid()]);
    await pass(2 * MEASURED_MS);
    const { turnaroundsMs } = await workers.count();
    const cpu = cpuSeconds([fleet.coordinatorPid()]) - from;
    leaving.abort();
    const pictures = (await Promise.all(watchers)).reduce((sum, seen) => sum + seen, 0);
    return {
      ...{ trials: turnaroundsMs.length, pictures, coordinatorCore: cpu / ((2 * MEASURED_MS) / 1000) },
      ...{ medianMs: median(turnaroundsMs), p99Ms: quantile(turnaroundsMs, 0.99) },
    };
  });
  say(
    `freed slot to next candidate: median ${row.medianMs.toFixed(1)} ms, p99 ${row.p99Ms.toFixed(1)} ms over ${row.trials} trials; ${WATCHERS} watchers saw ${row.pictures} pictures; coordinator ${row.coordinatorCore.toFixed(2)} of a core`,
  );
  return {
    goals: [
      atMost('turnaround: freed slot to next candidate, median', row.medianMs, 10, 'ms'),
      atMost('turnaround: freed slot to next candidate, p99', row.p99Ms, 50, 'ms'),
    ],
    rows: row,
  };
}

/** Watches as `pocketfleet watch SWEEP` does; how many pictures came. */
async function watch({ client }: TestFleet, sweepId: string, signal: AbortSignal): Promise<number> {
  let pictures = 0;
  try {
    const request = { planId: '', sweepId, runId: '', rateHz: 4, untilFinished: false };
    for await (const _ of streamed(client.watch(request), signal)) pictures += 1;
  } catch (caught) {
    if (!signal.aborted) throw caught;
  }
  return pictures;
}

const IDLE_WORKERS = 1_000;

/** What workers that only report that they are there cost the coordinator. */
export async function benchIdle(): Promise<{ goals: Goal[]; rows: unknown }> {
  const core = await withFleet(IDLE_WORKERS, async ({ fleet, workers }) => {
    await pass(WARM_MS);
    const from = cpuSeconds([fleet.coordinatorPid()]);
    const start = performance.now();
    await pass(MEASURED_MS);
    const cpu = cpuSeconds([fleet.coordinatorPid()]) - from;
    const { attached } = await workers.count();
    if (attached !== IDLE_WORKERS) throw new Error(`${attached} of ${IDLE_WORKERS} workers are attached`);
    return (1000 * cpu) / (performance.now() - start);
  });
  say(`${IDLE_WORKERS} idle streams: ${core.toFixed(3)} of a core`);
  return { goals: [atMost(`idle: ${IDLE_WORKERS} idle streams`, core, 0.15, 'cores')], rows: { core } };
}
