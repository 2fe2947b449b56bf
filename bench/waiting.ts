// `npm run bench:waiting`: how much of a step sending gradients before the step is done could hide. Two
// workers of one thread train one run, with one and two shards each: the share of a step that a worker is in
// the exchange (for slower peers too), and the share of the processors that nobody uses, which is all that
// work done earlier could take.

import { cpus } from 'node:os';
import { unary } from '../core/net/grpc-client.ts';
import { startFleet } from '../test/support/fleet.ts';
import { optionsOf, say, tell } from './goals.ts';
import { cpuSeconds } from './processor-time.ts';

const { json, seconds } = optionsOf({ seconds: 20 });
const WORKERS = ['w1', 'w2'];
const STEPS_BEFORE = 5;
const WAIT_MS = 300_000;

interface Case {
  readonly name: string;
  readonly network: string;
  /** Of the data; two of them are held out. */
  readonly identities: number;
  readonly shards: number;
}
const S128 = '{ kind: pocketnet, channels: 16, layers: 18, embedding: 128, genotype: casia }';
const SMALL = '{ kind: pocketnet, channels: 4, layers: 6, embedding: 32, genotype: casia }';
const CASES: readonly Case[] = [
  // As many classes as CASIA-WebFace has: more than half of the vector is the head's.
  { name: 'S-128, 10,572 classes, 1 shard each', network: S128, identities: 10_574, shards: 2 },
  { name: 'S-128, 10,572 classes, 2 shards each', network: S128, identities: 10_574, shards: 4 },
  { name: 'S-128, 100 classes, 1 shard each', network: S128, identities: 102, shards: 2 },
  { name: 'small, 100 classes, 1 shard each', network: SMALL, identities: 102, shards: 2 },
];

const spec = ({ network, identities, shards }: Case, index: number) => `
kind: candidate
name: waiting-${index}
network: ${network}
data: { kind: synthetic, identities: ${identities}, images: 8, holdout: 2, seed: 5 }
training: { epochs: 1000, batch: ${8 * shards}, shards: ${shards}, seed: 7, optimizer: { learningRate: 0.01 } }
verification: { pairs: 20 }
workers: { min: 2, max: 2 }
`;

interface Row {
  readonly name: string;
  /** Milliseconds of one step. */
  readonly step: number;
  /** Of them until the last gradient is there, in the exchange and in the optimiser; mean of both workers. */
  readonly compute: number;
  readonly exchange: number;
  readonly optimizer: number;
  /** Of the worker that waits less: the other one waits for it as well. */
  readonly exchangeLess: number;
  /** Of all processors' time: used by workers, broker and coordinator; used by nobody. */
  readonly used: number;
  readonly idle: number;
  readonly vectorBytes: number;
}

const fleet = await startFleet({ workers: WORKERS });
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void fleet.stop().finally(() => process.exit(1)));
try {
  const rows: Row[] = [];
  for (const [index, given] of CASES.entries()) {
    const row = await measure(given, index);
    rows.push(row);
    const ms = (value: number) => value.toFixed(1).padStart(6);
    const share = (value: number) => `${(100 * value).toFixed(1)} %`;
    say(`${row.name}, ${(row.vectorBytes / 1e6).toFixed(2)} MB`);
    say(
      `  step ${ms(row.step)} ms: compute ${ms(row.compute)}, exchange ${ms(row.exchange)}, optimizer ${ms(row.optimizer)}`,
    );
    say(
      `  in the exchange ${share(row.exchange / row.step)} of a step, the worker that waits less ${share(row.exchangeLess / row.step)}; processors: used ${share(row.used)}, idle ${share(row.idle)}`,
    );
  }
  tell([], rows, json);
} finally {
  await fleet.stop();
}

async function measure(given: Case, index: number): Promise<Row> {
  const [id = ''] = (await fleet.submit(spec(given, index))).runIds;
  await fleet.until(
    ({ runs }) => runs.some((run) => run.id === id && run.step >= STEPS_BEFORE),
    'the first steps',
    WAIT_MS,
  );
  const from = await readings(id);
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  const to = await readings(id);
  await unary(fleet.client, fleet.client.cancel, { id, reason: 'measured' });
  await fleet.until(
    ({ workers }) => workers.every(({ state }) => state === 'idle'),
    'the run is let go',
    WAIT_MS,
  );
  const perStep = (name: string) =>
    WORKERS.map((_, i) => {
      const steps =
        to.workers[i]!('pocketfleet_train_steps_total') - from.workers[i]!('pocketfleet_train_steps_total');
      return (1000 * (to.workers[i]!(name) - from.workers[i]!(name))) / steps;
    });
  const phase = (name: string) => perStep(`pocketfleet_train_phase_seconds_total ${name}`);
  const allSeconds = ((to.at - from.at) / 1000) * cpus().length;
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  return {
    name: given.name,
    step: mean(perStep('pocketfleet_train_step_duration_seconds_sum')),
    compute: mean(phase('compute')),
    exchange: mean(phase('allreduce')),
    exchangeLess: Math.min(...phase('allreduce')),
    optimizer: mean(phase('optimizer')),
    used: (to.cpuSeconds - from.cpuSeconds) / allSeconds,
    idle: (to.idleSeconds - from.idleSeconds) / allSeconds,
    // Each of a worker's shards has a vector.
    vectorBytes:
      mean(perStep('pocketfleet_allreduce_tensor_bytes_total')) / 1000 / (given.shards / WORKERS.length),
  };
}

/**
 * Counters of the run on each worker by name and phase, and processor time so far: of the fleet, and of
 * nobody.
 */
async function readings(id: string) {
  const workers = await Promise.all(
    WORKERS.map((worker) => counters(fleet.workerMetricsEndpoint(worker), id)),
  );
  const pids = [fleet.nats.pid, fleet.coordinatorPid(), ...WORKERS.map((worker) => fleet.workerPid(worker))];
  return {
    at: performance.now(),
    workers,
    cpuSeconds: cpuSeconds(pids),
    idleSeconds: cpus().reduce((sum, { times }) => sum + times.idle / 1000, 0),
  };
}

async function counters(endpoint: string, id: string): Promise<(name: string) => number> {
  const text = await (await fetch(`http://${endpoint}/metrics`)).text();
  const values = new Map<string, number>();
  for (const [, name, labels, value] of text.matchAll(/^(\w+)\{([^}]*)\} (\S+)$/gm)) {
    if (!labels!.includes(`run="${id}"`)) continue;
    const [, phase] = /phase="(\w+)"/.exec(labels!) ?? [];
    values.set(phase === undefined ? name! : `${name} ${phase}`, Number(value));
  }
  return (name) => {
    const value = values.get(name);
    if (value === undefined) throw new Error(`${endpoint} has no ${name} of run ${id}`);
    return value;
  };
}
