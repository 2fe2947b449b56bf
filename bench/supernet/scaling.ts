// What an image of a second-order search costs in processor time when 1 and 4 workers share it, workers and broker
// together, because on a machine with fewer cores than processes wall time says little. An image is one of each half. Rounds alternate and the cheapest counts: other work on the machine only ever makes one dearer.

import type { Snapshot } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { startFleet, type TestFleet } from '../../test/support/fleet.ts';
import { atMost, type Goal, say } from '../goals.ts';
import { cpuSeconds } from '../processor-time.ts';

/** Compiling, cold caches and the first batches. */
const STEPS_BEFORE = 1;
const WAIT_MS = 900_000;
const WAYS = [1, 4] as const;

interface Size {
  /** B of each half; V is 4. */
  readonly batch: number;
  /** Steps that are measured. */
  readonly steps: number;
  readonly rounds: number;
}

interface ScalingRow {
  readonly workers: number;
  readonly round: number;
  readonly cpuSecondsPerImage: number;
  /** Of those, of the broker. */
  readonly broker: number;
}

const spec = (name: string, workers: number, { batch, steps }: Size) => `
kind: search
name: ${name}
supernet: { channels: 4, layers: 4 }
data: { kind: synthetic, identities: ${(STEPS_BEFORE + steps + 1) * 8 + 4}, images: ${batch / 4}, holdout: 4, seed: 5 }
search: { order: second, epochs: 1, batch: ${batch}, shards: 4, seed: 7, force: true }
workers: { min: ${workers}, max: ${workers} }
`;

/** What four workers cost beside one, and the rounds that it comes from. */
export async function measureScaling(
  size: Size,
): Promise<{ readonly goals: Goal[]; readonly rows: readonly ScalingRow[] }> {
  const fleet = await startFleet({ workers: ['w1', 'w2', 'w3', 'w4'] });
  // Told to stop, it takes its fleet along.
  const stop = () => void fleet.stop().finally(() => process.exit(1));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, stop);
  try {
    const rows: ScalingRow[] = [];
    for (let round = 1; round <= size.rounds; round++)
      for (const workers of WAYS) {
        const row = await measure(fleet, size, { workers, round });
        rows.push(row);
        say(
          `round ${round}, ${workers} worker${workers === 1 ? '' : 's'}: ${row.cpuSecondsPerImage.toFixed(4)} CPU s an image (broker ${row.broker.toFixed(4)})`,
        );
      }
    const [one, four] = WAYS.map((workers) =>
      Math.min(...rows.filter((row) => row.workers === workers).map((row) => row.cpuSecondsPerImage)),
    );
    return {
      goals: [atMost('CPU time of an image, 4 workers against 1', four! / one!, 1.05, 'times')],
      rows,
    };
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, stop);
    await fleet.stop();
  }
}

async function measure(
  fleet: TestFleet,
  size: Size,
  { workers, round }: { readonly workers: number; readonly round: number },
): Promise<ScalingRow> {
  const { runIds } = await fleet.submit(spec(`of-${workers}-${round}`, workers, size));
  const id = runIds[0]!;
  const at = async (step: number) => {
    const reached = (s: Snapshot) => (s.runs.find((run) => run.id === id)?.step ?? 0) >= step;
    const snapshot = await fleet.until(reached, `step ${step} of ${id}`, WAIT_MS);
    const run = snapshot.runs.find((one) => one.id === id)!;
    return {
      step: run.step,
      workers: cpuSeconds(run.workerIds.map((worker) => fleet.workerPid(worker))),
      broker: cpuSeconds([fleet.nats.pid]),
    };
  };
  const from = await at(STEPS_BEFORE);
  const to = await at(STEPS_BEFORE + size.steps);
  const images = (to.step - from.step) * size.batch;
  const broker = (to.broker - from.broker) / images;
  await fleet.until((s) => s.runs.some((run) => run.id === id && run.state === 'done'), 'it ends', WAIT_MS);
  return { workers, round, broker, cpuSecondsPerImage: (to.workers - from.workers) / images + broker };
}
