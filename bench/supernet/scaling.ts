// What an image of a second-order search costs in processor time when 1 and 4 workers share it, workers and broker
// together, because on a machine with fewer cores than processes wall time says little. An image is one of each half.
// Rounds alternate and the cheapest counts: other work on the machine only ever makes one dearer.
//
// Processes that compute beside each other also slow each other down (shared caches, two threads of one core), whether
// they share a search or not. Therefore four searches of one worker each, at once, are measured too: with a quarter of
// the images and one shard each, so that their passes are those of the gang of four.

import type { Snapshot } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { startFleet, type TestFleet } from '../../test/support/fleet.ts';
import { atMost, type Goal, say } from '../goals.ts';
import { cpuSeconds } from '../processor-time.ts';

/** Compiling, cold caches and the first batches. */
const STEPS_BEFORE = 1;
const WAIT_MS = 900_000;
const SHARDS = 4;

interface Way {
  readonly name: string;
  /** Searches at once. */
  readonly runs: number;
  /** Workers, and shards, of each. */
  readonly workers: number;
  readonly shards: number;
}
const ONE: Way = { name: '1 worker', runs: 1, workers: 1, shards: SHARDS };
const FOUR: Way = { name: '4 workers', runs: 1, workers: 4, shards: SHARDS };
const APART: Way = { name: '4 apart', runs: 4, workers: 1, shards: 1 };

interface Size {
  /** B of each half, in 4 shards. */
  readonly batch: number;
  /** Steps that are measured. */
  readonly steps: number;
  readonly rounds: number;
}

interface ScalingRow {
  readonly way: string;
  readonly round: number;
  readonly cpuSecondsPerImage: number;
  /** Of those, of the broker. */
  readonly broker: number;
}

const spec = (name: string, { workers, shards }: Way, batch: number, { steps }: Size) => `
kind: search
name: ${name}
supernet: { channels: 4, layers: 4 }
data: { kind: synthetic, identities: ${(STEPS_BEFORE + steps + 1) * 8 + 4}, images: ${batch / 4}, holdout: 4, seed: 5 }
search: { order: second, epochs: 1, batch: ${batch}, shards: ${shards}, seed: 7, force: true }
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
      for (const way of [ONE, FOUR, APART]) {
        const row = await measure(fleet, size, { way, round });
        rows.push(row);
        say(
          `round ${round}, ${way.name}: ${row.cpuSecondsPerImage.toFixed(4)} CPU s an image (broker ${row.broker.toFixed(4)})`,
        );
      }
    const best = ({ name }: Way) =>
      Math.min(...rows.filter((row) => row.way === name).map((row) => row.cpuSecondsPerImage));
    const together = best(FOUR);
    return {
      goals: [
        atMost('CPU time of an image, 4 workers against 1', together / best(ONE), 1.05, 'times'),
        atMost(
          'CPU time of an image, 4 workers together against 4 apart',
          together / best(APART),
          1.05,
          'times',
        ),
      ],
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
  { way, round }: { readonly way: Way; readonly round: number },
): Promise<ScalingRow> {
  const batch = (size.batch / SHARDS) * way.shards;
  const ids: string[] = [];
  for (let i = 0; i < way.runs; i++) {
    const name = `${way.name.replaceAll(' ', '-')}-${round}-${i + 1}`;
    ids.push(...(await fleet.submit(spec(name, way, batch, size))).runIds);
  }
  const costs = await Promise.all(ids.map((id) => costOf(fleet, id, size)));
  const images = costs.reduce((sum, cost) => sum + cost.steps * batch, 0);
  const workers = costs.reduce((sum, cost) => sum + cost.workers, 0) / images;
  const broker = Math.max(...costs.map((cost) => cost.broker)) / images;
  const areDone = (s: Snapshot) =>
    ids.every((id) => s.runs.some((run) => run.id === id && run.state === 'done'));
  await fleet.until(areDone, 'all end', WAIT_MS);
  return { way: way.name, round, broker, cpuSecondsPerImage: workers + broker };
}

/** Processor time between two steps of a search, of its workers and of the broker. */
async function costOf(fleet: TestFleet, id: string, { steps }: Size) {
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
  const to = await at(STEPS_BEFORE + steps);
  return {
    steps: to.step - from.step,
    workers: to.workers - from.workers,
    broker: to.broker - from.broker,
  };
}
