// `npm run bench:scaling`: what a sample costs in processor time when 1, 2 and 4 workers share a run: workers, broker and
// coordinator together, because on a machine with fewer cores than processes wall time says little. The network is PocketNet's
// size S; no image comes twice, so that no cache of one worker helps it. Rounds alternate and the cheapest counts: other
// work on the machine only ever makes one dearer.

import { readFileSync } from 'node:fs';
import { startFleet } from '../test/support/fleet.ts';
import { atMost, optionsOf, say, tell } from './goals.ts';

const { json, rounds, steps } = optionsOf({ rounds: 3, steps: 6 });
const SIZES = [1, 2, 4];
const BATCH = 32;
/** Compiling, cold caches and the first batches. */
const STEPS_BEFORE = 2;
const WAIT_MS = 600_000;
/** Of the kernel's clock in /proc; the same on every Linux that Node supports. */
const TICKS_PER_SECOND = 100;

const stepsTotal = STEPS_BEFORE + steps + 1;
const spec = (name: string, workers: number) => `
kind: candidate
name: ${name}
network: { kind: pocketnet, channels: 16, layers: 18, embedding: 128, genotype: casia }
data: { kind: synthetic, identities: ${stepsTotal + 4}, images: ${BATCH}, holdout: 4, seed: 5 }
training: { epochs: 1, batch: ${BATCH}, shards: 4, seed: 7, optimizer: { learningRate: 0.01 } }
verification: { pairs: 20 }
workers: { min: ${workers}, max: ${workers} }
`;

interface Row {
  readonly workers: number;
  readonly round: number;
  readonly cpuSecondsPerSample: number;
  /** The same without the broker and the coordinator. */
  readonly workersOnly: number;
  readonly samplesPerSecond: number;
}

const fleet = await startFleet({ workers: ['w1', 'w2', 'w3', 'w4'] });
try {
  const rows: Row[] = [];
  for (let round = 1; round <= rounds; round++)
    for (const workers of SIZES) {
      const row = await measure(workers, round);
      rows.push(row);
      say(
        `round ${round}, ${workers} workers: ${row.cpuSecondsPerSample.toFixed(4)} CPU s a sample (workers ${row.workersOnly.toFixed(4)}), ${row.samplesPerSecond.toFixed(1)} samples/s`,
      );
    }
  const best = (workers: number) =>
    Math.min(...rows.filter((row) => row.workers === workers).map((row) => row.cpuSecondsPerSample));
  const goals = SIZES.slice(1).map((workers) =>
    atMost(
      `CPU time of a sample with ${workers} workers against one`,
      best(workers) / best(1),
      1.05,
      'times',
    ),
  );
  tell(goals, rows, json);
} finally {
  await fleet.stop();
}

async function measure(workers: number, round: number): Promise<Row> {
  const { runIds } = await fleet.submit(spec(`scale-${workers}-${round}`, workers));
  const id = runIds[0]!;
  const at = async (step: number) => {
    const snapshot = await fleet.until(
      (s) => (s.runs.find((run) => run.id === id)?.step ?? 0) >= step,
      `step ${step}`,
      WAIT_MS,
    );
    const run = snapshot.runs.find((one) => one.id === id)!;
    const pids = run.workerIds.map((worker) => fleet.workerPid(worker));
    return {
      step: run.step,
      seconds: performance.now() / 1000,
      workers: cpuSeconds(pids),
      others: cpuSeconds([fleet.nats.pid, fleet.coordinatorPid()]),
    };
  };
  const from = await at(STEPS_BEFORE);
  const to = await at(STEPS_BEFORE + steps);
  const samples = (to.step - from.step) * BATCH;
  const workersOnly = (to.workers - from.workers) / samples;
  await fleet.until(
    (s) => s.runs.some((run) => run.id === id && run.state === 'done'),
    'the run ends',
    WAIT_MS,
  );
  return {
    workers,
    round,
    workersOnly,
    cpuSecondsPerSample: workersOnly + (to.others - from.others) / samples,
    samplesPerSecond: samples / (to.seconds - from.seconds),
  };
}

/** User and system time of the processes so far, all threads. */
function cpuSeconds(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => {
    // The name in the second field may have spaces and brackets of its own.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)!.split(' ');
    return sum + (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
  }, 0);
}
