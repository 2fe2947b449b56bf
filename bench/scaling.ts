// `npm run bench:scaling`: what a sample costs in processor time when 1, 2 and 4 workers share a run:
// workers, broker and coordinator together, because on a machine with fewer cores than processes wall time
// says little. The network is PocketNet's size S; no image comes twice, so that no cache of one worker helps
// it. Rounds alternate and the cheapest counts: other work on the machine only ever makes one dearer.
//
// Processes that compute beside each other also slow each other down (shared caches, two threads of one
// core), whether they share a run or not. Therefore four runs of one worker each, at once, are measured too:
// what a gang of four costs more than those is the price of working together.

import type { Snapshot } from '../proto/gen/pocketfleet/v1/fleet.ts';
import { startFleet } from '../test/support/fleet.ts';
import { atMost, optionsOf, say, tell } from './goals.ts';
import { cpuSeconds } from './processor-time.ts';

const { json, rounds, steps } = optionsOf({ rounds: 2, steps: 2 });
/**
 * A quarter of the reference's 512: what each member does once a step (optimiser, digest) counts four times
 * as much here.
 */
const BATCH = 128;
/** Compiling, cold caches and the first batches. */
const STEPS_BEFORE = 1;
const WAIT_MS = 600_000;

const stepsTotal = STEPS_BEFORE + steps + 1;
const spec = (name: string, workers: number) => `
kind: candidate
name: ${name}
network: { kind: pocketnet, channels: 16, layers: 18, embedding: 128, genotype: casia }
data: { kind: synthetic, identities: ${stepsTotal * 4 + 4}, images: ${BATCH / 4}, holdout: 4, seed: 5 }
training: { epochs: 1, batch: ${BATCH}, shards: 8, seed: 7, optimizer: { learningRate: 0.01 } }
verification: { pairs: 20 }
workers: { min: ${workers}, max: ${workers} }
`;

interface Row {
  readonly way: string;
  readonly round: number;
  readonly cpuSecondsPerSample: number;
  /** The same without the broker and the coordinator. */
  readonly workersOnly: number;
}

interface Way {
  readonly name: string;
  /** Of each run. */
  readonly workers: number;
  /** At once. */
  readonly runs: number;
}
const WAYS: readonly Way[] = [
  { name: '1 worker', workers: 1, runs: 1 },
  { name: '2 workers', workers: 2, runs: 1 },
  { name: '4 workers', workers: 4, runs: 1 },
  { name: '4 apart', workers: 1, runs: 4 },
];

const fleet = await startFleet({ workers: ['w1', 'w2', 'w3', 'w4'] });
// Told to stop, it takes its fleet along.
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void fleet.stop().finally(() => process.exit(1)));
try {
  const rows: Row[] = [];
  for (let round = 1; round <= rounds; round++)
    for (const way of WAYS) {
      const row = await measure(way, round);
      rows.push(row);
      say(
        `round ${round}, ${way.name}: ${row.cpuSecondsPerSample.toFixed(4)} CPU s a sample (workers alone ${row.workersOnly.toFixed(4)})`,
      );
    }
  const best = (name: string) =>
    Math.min(...rows.filter((row) => row.way === name).map((row) => row.cpuSecondsPerSample));
  const [one, two, four, apart] = WAYS.map((way) => best(way.name));
  tell(
    [
      atMost('CPU time of a sample, 2 workers against 1', two! / one!, 1.05, 'times'),
      atMost('CPU time of a sample, 4 workers against 1', four! / one!, 1.05, 'times'),
      atMost('CPU time of a sample, 4 workers together against 4 apart', four! / apart!, 1.05, 'times'),
    ],
    rows,
    json,
  );
} finally {
  await fleet.stop();
}

async function measure(way: Way, round: number): Promise<Row> {
  const names = Array.from(
    { length: way.runs },
    (_, i) => `${way.name.replaceAll(' ', '-')}-${round}-${i + 1}`,
  );
  const others = () => cpuSeconds([fleet.nats.pid, fleet.coordinatorPid()]);
  const ids: string[] = [];
  for (const name of names) ids.push(...(await fleet.submit(spec(name, way.workers))).runIds);
  const before = others();
  const costs = await Promise.all(ids.map(costOf));
  const samples = costs.reduce((sum, cost) => sum + cost.samples, 0);
  const workersOnly = costs.reduce((sum, cost) => sum + cost.seconds, 0) / samples;
  // Of the whole time so far, hence of all samples and not only of those between the marks.
  const share = (others() - before) / (way.runs * (STEPS_BEFORE + steps) * BATCH);
  await Promise.all(ids.map((id) => fleet.until((s) => isDone(s, id), 'the run ends', WAIT_MS)));
  return { way: way.name, round, workersOnly, cpuSecondsPerSample: workersOnly + share };
}

/** Processor time of a run's workers between two of its own steps. */
async function costOf(id: string): Promise<{ samples: number; seconds: number }> {
  const at = async (step: number) => {
    const reached = (s: Snapshot) => (s.runs.find((run) => run.id === id)?.step ?? 0) >= step;
    const snapshot = await fleet.until(reached, `step ${step} of ${id}`, WAIT_MS);
    const run = snapshot.runs.find((one) => one.id === id)!;
    return { step: run.step, seconds: cpuSeconds(run.workerIds.map((worker) => fleet.workerPid(worker))) };
  };
  const from = await at(STEPS_BEFORE);
  const to = await at(STEPS_BEFORE + steps);
  return { samples: (to.step - from.step) * BATCH, seconds: to.seconds - from.seconds };
}

function isDone(snapshot: Snapshot, id: string): boolean {
  return snapshot.runs.some((run) => run.id === id && run.state === 'done');
}
