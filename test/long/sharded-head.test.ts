// A class-sharded head in a real fleet: one, two and three workers, and three of which one is killed on the way, end with the
// same bytes, with and without sampling of negative classes; a run whose class shards died with their holders goes back to its
// checkpoint and ends with them too; a replay computes them again.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { streamed, unary } from '../../core/net/grpc-client.ts';
import type { ReplayPoint, Run } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { runIn, startFleet, type TestFleet } from '../support/fleet.ts';

const spec = (name: string, workers: { min: number; max: number }, head: string) => `
kind: teacher
name: ${name}
network: { kind: pocketnet, channels: 2, layers: 4, embedding: 8, genotype: casia }
data: { kind: synthetic, identities: 52, images: 2, holdout: 10, seed: 5 }
training:
  epochs: 3
  batch: 8
  shards: 4
  seed: 7
  ${head}
  optimizer: { learningRate: 0.05, milestones: [2] }
verification: { pairs: 20 }
workers: { min: ${workers.min}, max: ${workers.max} }
# Later tests replay it and learn from its stages.
checkpoints: { keep: all }
`;
// 42 classes do not divide by 4 shards, and a shard's 10 or 11 are more than the batch, so that some can be left out; 84 images, 10.5
// steps an epoch, 32 steps.
const SHARDED = 'head: sharded';
const SAMPLED = 'head: sharded\n  negatives: 0.5';

const ONE = { min: 1, max: 1 };

let fleet: TestFleet;
const alone = new Map<string, Run>();
before(async () => {
  fleet = await startFleet({ workers: ['w1', 'w2', 'w3'] });
});
after(() => fleet.stop());

async function submit(name: string, workers: { min: number; max: number }, head = SHARDED): Promise<string> {
  return (await fleet.submit(spec(name, workers, head))).runIds[0]!;
}

const atStep = async (id: string, step: number, members: number) =>
  runIn(
    await fleet.until(
      (s) => (runIn(s, id)?.step ?? 0) >= step && runIn(s, id)?.workerIds.length === members,
      `step ${step} with ${members} workers`,
      120_000,
    ),
    id,
  )!;

/** In the native library, for a worker that has nothing to do. */
async function tensorsOf(worker: string): Promise<number> {
  const text = await (await fetch(`http://${fleet.workerMetricsEndpoint(worker)}/metrics`)).text();
  return Number(/^pocketfleet_tfjs_tensors(?:\{[^}]*\})? (\S+)$/m.exec(text)?.[1]);
}

test('one worker trains with a sharded head, and sampling changes the result', async () => {
  const ids = [await submit('alone', ONE), await submit('alone-sampled', ONE, SAMPLED)];
  const [whole, sampled] = await Promise.all(ids.map((id) => fleet.finished(id)));
  alone.set(SHARDED, whole!).set(SAMPLED, sampled!);
  assert.notEqual(alone.get(SAMPLED)!.weightsDigest, alone.get(SHARDED)!.weightsDigest);
});

test('two workers end with the same bytes', async () => {
  for (const head of [SHARDED, SAMPLED]) {
    const two = await fleet.finished(await submit('two', { min: 2, max: 2 }, head));
    assert.equal(two.weightsDigest, alone.get(head)!.weightsDigest);
    assert.deepEqual(two.evaluation, alone.get(head)!.evaluation);
  }
});

test('three workers end with the same bytes', async () => {
  const three = await fleet.finished(await submit('three', { min: 3, max: 3 }));
  assert.equal(three.weightsDigest, alone.get(SHARDED)!.weightsDigest);
});

test('a worker that is killed takes no step with it: no generation starts below the step that had been reached', async () => {
  const id = await submit('killed', { min: 1, max: 3 });
  const was = await atStep(id, 12, 3);
  await fleet.killWorker('w2');
  const shrunk = await atStep(id, was.step + 1, 2);
  assert.ok(shrunk.generation > was.generation, 'losing a worker opens a new generation');
  assert.doesNotMatch(fleet.tails(400), /goes back to its newest checkpoint/);
  await fleet.startWorker('w2');
  const killed = await fleet.finished(id);
  assert.equal(killed.weightsDigest, alone.get(SHARDED)!.weightsDigest);
  // The others were in the middle of a step when one was lost, and threw it away.
  for (const survivor of ['w1', 'w3']) assert.equal(await tensorsOf(survivor), 0, survivor);
});

test('a replay computes every checkpoint again, head and all', async () => {
  const { id } = alone.get(SHARDED)!;
  const call = fleet.client.replay({ runId: id, fromStage: 1, toStage: 0, eachStep: false, steps: [] });
  const points: ReplayPoint[] = [];
  for await (const point of streamed(call, AbortSignal.timeout(120_000))) points.push(point);
  assert.deepEqual(
    points.map(({ stage, verdict }) => [stage, verdict?.equal]),
    [
      [2, true],
      [3, true],
    ],
  );
  assert.equal(points.at(-1)!.weightsDigest, alone.get(SHARDED)!.weightsDigest);
});

test('a student with a sharded head learns from a teacher, with the same bytes for one worker and three', async () => {
  const runs: Run[] = [];
  for (const workers of [1, 3]) {
    const yaml = spec(`student-${workers}`, { min: workers, max: workers }, SHARDED)
      .replace('kind: teacher', 'kind: student')
      .replace('epochs: 3', 'epochs: 1')
      .concat(`distillation: { teacher: ${alone.get(SHARDED)!.id} }\n`);
    runs.push(await fleet.finished((await fleet.submit(yaml)).runIds[0]!));
  }
  assert.equal(runs[0]!.weightsDigest, runs[1]!.weightsDigest);
  const other = alone.get(SHARDED)!;
  assert.notEqual(runs[0]!.weightsDigest, other.weightsDigest);
});

// Last of all, because it leaves one worker.
test('when all who held a class shard are killed, the run goes back to its checkpoint and ends with the same bytes', async () => {
  const id = await submit('lost', { min: 1, max: 3 });
  // Past the first checkpoint.
  const { workerIds } = await atStep(id, 12, 3);
  // The class shards of the second are kept by it and by the first.
  await Promise.all([fleet.killWorker(workerIds[0]!), fleet.killWorker(workerIds[1]!)]);
  await atStep(id, 16, 1);
  assert.match(fleet.tails(400), /goes back to its newest checkpoint/);
  const lost = await fleet.finished(id);
  assert.equal(lost.weightsDigest, alone.get(SHARDED)!.weightsDigest);
  const { checkpoints } = await unary(fleet.client, fleet.client.listCheckpoints, { runId: id });
  assert.deepEqual(
    checkpoints.map((checkpoint) => checkpoint.stage),
    [1, 2, 3],
    'each stage is stored once',
  );
});
