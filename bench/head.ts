// `npm run bench:head`: what a head of many classes puts on the broker in each step, and what it costs: in
// every worker's graph, sharded by class, and sharded with a sample of the negative classes; 2 and 4 workers
// as processes, a real broker. Bytes are the exchanges' own counters, as every worker exports them to
// Prometheus: sent and received bytes of all workers together, between two steps. The backbone is small, so
// that the head dominates.

import { unary } from '../core/net/grpc-client.ts';
import type { Run, Snapshot } from '../proto/gen/pocketfleet/v1/fleet.ts';
import { startFleet } from '../test/support/fleet.ts';
import { atMost, optionsOf, say, tell } from './goals.ts';
import { cpuSeconds } from './processor-time.ts';

/** Identities of MS1MV2, the reference's training set. */
const {
  json,
  classes,
  batch,
  steps,
  embedding,
  members: only,
} = optionsOf({
  classes: 85_742,
  batch: 128,
  steps: 5,
  embedding: 128,
  /** 0: 2 and then 4. */
  members: 0,
});
const SHARDS = 8;
const HELD_OUT = 10;
const WAIT_MS = 300_000;
const MEMBERS = only === 0 ? [2, 4] : [only];
const WAYS = [
  { name: 'in the graph', lines: 'head: graph' },
  { name: 'sharded', lines: 'head: sharded' },
  { name: 'sharded, 0.1 of the negatives', lines: 'head: sharded, negatives: 0.1' },
] as const;
type Way = (typeof WAYS)[number];

const spec = (name: string, workers: number, { lines }: Way) => `
kind: candidate
name: ${name}
network: { kind: pocketnet, channels: 4, layers: 4, embedding: ${embedding}, genotype: casia }
data: { kind: synthetic, identities: ${classes + HELD_OUT}, images: 2, holdout: ${HELD_OUT}, seed: 5 }
training: { epochs: 1, batch: ${batch}, shards: ${SHARDS}, seed: 7, ${lines} }
verification: { pairs: 20 }
workers: { min: ${workers}, max: ${workers} }
`;

interface Row {
  readonly members: number;
  readonly head: string;
  /** Sum over all members in one step. */
  readonly megabytes: number;
  /** Sum over all members in one step. */
  readonly cpuMs: number;
}

const rows: Row[] = [];
for (const members of MEMBERS) {
  const names = Array.from({ length: members }, (_, i) => `w${i + 1}`);
  const fleet = await startFleet({ workers: names });
  try {
    for (const [i, way] of WAYS.entries()) {
      const [id] = (await fleet.submit(spec(`head-${i}`, members, way))).runIds;
      const samples = () =>
        Promise.all(
          names.map((name) => sampleOf(fleet.workerMetricsEndpoint(name), id!, fleet.workerPid(name))),
        );
      const reached = async (step: number) => {
        const runOf = (s: Snapshot) => s.runs.find((run) => run.id === id);
        const all = (s: Snapshot) => (runOf(s)?.step ?? 0) >= step && runOf(s)?.workerIds.length === members;
        return runOf(await fleet.until(all, `step ${step}`, WAIT_MS))!;
      };
      const { from, to } = await steadily(reached, samples);
      await unary(fleet.client, fleet.client.cancel, { id: id!, reason: 'measured' });
      const perStep = (of: keyof Sample) =>
        to.reduce((sum, end, worker) => {
          const begin = from[worker]!;
          return sum + (end[of] - begin[of]) / (end.steps - begin.steps);
        }, 0);
      const row = {
        members,
        head: way.name,
        megabytes: perStep('bytes') / 1e6,
        cpuMs: perStep('cpuMs'),
      };
      rows.push(row);
      say(
        `${members} workers, head ${way.name}: ${row.megabytes.toFixed(2)} MB a step at the broker, ${row.cpuMs.toFixed(0)} ms of CPU`,
      );
      await fleet.until(
        (s) => s.workers.every((worker) => worker.state === 'idle'),
        'the workers are free',
        WAIT_MS,
      );
    }
  } finally {
    await fleet.stop();
  }
}
const megabytes = (members: number, way: Way) =>
  rows.find((row) => row.members === members && row.head === way.name)!.megabytes;
tell(
  MEMBERS.map((members) =>
    atMost(
      `bytes sharded / in the graph, ${members} workers`,
      megabytes(members, WAYS[1]) / megabytes(members, WAYS[0]),
      0.1,
      'times',
    ),
  ),
  rows,
  json,
);

/**
 * Two samples some steps apart, in one generation: a gang that changes moves states between its members,
 * which is no step.
 */
async function steadily(reached: (step: number) => Promise<Run>, samples: () => Promise<Sample[]>) {
  for (let next = 1; ; ) {
    const { generation, step } = await reached(next);
    // Nobody can be in the second step from here without having counted what it took to join.
    const begun = await reached(step + 2);
    const from = await samples();
    const ended = await reached(begun.step + steps);
    const to = await samples();
    if (ended.generation === generation) return { from, to };
    say(`generation ${generation} became ${ended.generation}, measured again`);
    next = ended.step + 1;
  }
}

interface Sample {
  readonly steps: number;
  readonly bytes: number;
  readonly cpuMs: number;
}

/** One scrape: steps and bytes of it belong together. */
async function sampleOf(endpoint: string, run: string, pid: number): Promise<Sample> {
  const text = await (await fetch(`http://${endpoint}/metrics`)).text();
  const sum = (name: string, label: string) =>
    text
      .split('\n')
      .filter((line) => line.startsWith(`${name}{`) && line.includes(label))
      .reduce((total, line) => total + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
  return {
    steps: sum('pocketfleet_train_steps_total', `run="${run}"`),
    bytes: sum('pocketfleet_allreduce_bytes_total', `run="${run}"`),
    cpuMs: 1000 * cpuSeconds([pid]),
  };
}
