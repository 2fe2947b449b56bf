// The whole thing in small: coordinator, nats-server and workers as processes; real gRPC, NATS and TensorFlow. A run is
// trained by one worker, by two, and by two with a worker killed, the coordinator killed and both started again on the
// way; the final weights are the same bytes each time. Each fault is asserted to have happened while the run was open.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { unary } from '../../core/net/grpc-client.ts';
import { runIn, startFleet, type TestFleet } from '../support/fleet.ts';

const spec = (name: string, workers: { min: number; max: number }) => `
kind: teacher
name: ${name}
network: { kind: pocketnet, channels: 4, layers: 4, embedding: 8, genotype: casia }
data: { kind: synthetic, identities: 8, images: 12, holdout: 3, seed: 5 }
training:
  epochs: 8
  batch: 8
  shards: 4
  seed: 7
  optimizer: { learningRate: 0.05, milestones: [6] }
verification: { pairs: 40 }
workers: { min: ${workers.min}, max: ${workers.max} }
`;
// 5 training identities x 12 images = 60 images, 8 epochs of 7.5 steps: 60 steps.

async function submitRun(fleet: TestFleet, yaml: string): Promise<string> {
  const { runIds } = await fleet.submit(yaml);
  assert.equal(runIds.length, 1);
  return runIds[0]!;
}

test('one worker, two workers, and two workers with kills of a worker and of the coordinator end with the same bytes', async () => {
  const fleet = await startFleet({ workers: ['w1'] });
  try {
    const alone = await fleet.finished(await submitRun(fleet, spec('alone', { min: 1, max: 1 })));
    await fleet.startWorker('w2');
    const together = await fleet.finished(await submitRun(fleet, spec('together', { min: 1, max: 2 })));
    assert.equal(together.weightsDigest, alone.weightsDigest);

    const id = await submitRun(fleet, spec('disturbed', { min: 1, max: 2 }));
    const atStep = (step: number, members: number) =>
      fleet.until(
        (s) => (runIn(s, id)?.step ?? 0) >= step && runIn(s, id)?.workerIds.length === members,
        `step ${step} with ${members} workers`,
      );
    const before = runIn(await atStep(5, 2), id)!;
    await fleet.killWorker('w2');
    const shrunk = runIn(await atStep(before.step + 3, 1), id)!;
    assert.ok(shrunk.generation > before.generation, 'losing a worker opens a new generation');
    assert.deepEqual(shrunk.workerIds, ['w1']);
    await fleet.killCoordinator();
    await fleet.startCoordinator();
    const after = runIn(await fleet.until((s) => runIn(s, id) !== undefined, 'the run is known again'), id)!;
    assert.notEqual(after.state, 'done', 'the coordinator was killed while the run was open');
    await fleet.startWorker('w2');
    const disturbed = await fleet.finished(id);
    assert.equal(disturbed.weightsDigest, alone.weightsDigest);
    assert.deepEqual(disturbed.evaluation, alone.evaluation);

    const ended = await submitRun(fleet, spec('ended', { min: 1, max: 2 }));
    await fleet.until((s) => (runIn(s, ended)?.checkpoints ?? 0) >= 2, 'two checkpoints of it');
    await unary(fleet.client, fleet.client.cancel, { id: 'ended', reason: 'a test' });
    await fleet.until((s) => runIn(s, ended)?.state === 'cancelled', 'it was cancelled on its way');
    const { resumedIds } = await unary(fleet.client, fleet.client.resume, { id: 'ended', reason: 'a test' });
    assert.deepEqual(resumedIds, [ended]);
    assert.equal((await fleet.finished(ended)).weightsDigest, alone.weightsDigest);

    const { checkpoints } = await unary(fleet.client, fleet.client.listCheckpoints, { runId: id });
    assert.deepEqual(
      checkpoints.map((checkpoint) => checkpoint.stage),
      [1, 2, 3, 4, 5, 6, 7, 8],
      'each stage is stored once',
    );
  } finally {
    await fleet.stop();
  }
});
