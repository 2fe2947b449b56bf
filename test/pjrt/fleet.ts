// `npm run test:pjrt`, workers: a run on workers whose engine is the CPU plugin of PJRT has the same bits on one worker, on two of
// which one is killed and another one joins in the middle, and on a worker with four devices, which it reports, alone and beside one
// with one. Its device class names the plugin. The state is on the device of each.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { runIn, startFleet, type TestFleet } from '../support/fleet.ts';
import { QUICK_XLA_FLAGS } from '../support/pjrt.ts';

/** A compiler takes minutes for the step where other programs want the processor too. */
const DEADLINE_MS = 1_500_000;
let fleet: TestFleet;
/** Digest of the weights of one worker with one device. */
let digest = '';

const runText = (name: string, workers: number, min = 1) => `
kind: candidate
name: ${name}
network: { kind: iresnet, blocks: [1, 1, 1, 1], widths: [4, 4, 4, 4], stem: 4, embedding: 8 }
data: { kind: synthetic, identities: 8, images: 8, holdout: 2, seed: 5 }
training: { epochs: 6, batch: 8, shards: 4, seed: 7, optimizer: { learningRate: 0.05 } }
verification: { pairs: 40 }
workers: { min: ${min}, max: ${workers} }
`;

before(async () => {
  fleet = await startFleet({
    workers: [],
    worker: { POCKETFLEET_ENGINE: 'pjrt', XLA_FLAGS: QUICK_XLA_FLAGS },
  });
  for (const id of ['w1', 'w2']) await fleet.startWorker(id, 240_000);
});
after(() => fleet?.stop());

test('one worker, and two of which one is killed while the next one joins, have equal bits', async () => {
  const { runIds } = await fleet.submit(runText('alone', 1));
  digest = (await fleet.finished(runIds[0]!, DEADLINE_MS)).weightsDigest;
  const snapshot = await fleet.until(() => true, 'any');
  for (const worker of snapshot.workers)
    assert.match(worker.deviceClass, /^cpu\/.*\/engine=pjrt\/plugin=xla-cpu-pjrt-0\.0\.1\/interface=0\.81\//);

  await fleet.startWorker('w3', 240_000);
  const second = await fleet.submit(runText('together', 2));
  const id = second.runIds[0]!;
  const trained = await fleet.until(
    (seen) => (runIn(seen, id)?.step ?? 0) >= 8 && runIn(seen, id)?.workerIds.length === 2,
    'two workers train',
    DEADLINE_MS,
  );
  const members = runIn(trained, id)!.workerIds;
  const spare = ['w1', 'w2', 'w3'].find((worker) => !members.includes(worker))!;
  await fleet.killWorker(members[1]!);
  await fleet.until(
    (seen) => runIn(seen, id)?.workerIds.includes(spare) === true,
    'the one without a state joins',
    DEADLINE_MS,
  );
  const together = await fleet.finished(id, DEADLINE_MS);
  assert.equal(together.weightsDigest, digest);
});

test('a worker with four devices has the bits of one with one, alone and beside such a one', async () => {
  for (const id of ['w1', 'w2', 'w3']) await fleet.killWorker(id);
  await fleet.startWorker('wide', 240_000, { POCKETFLEET_ENGINE_DEVICES: '4' });
  const trained = async (text: string) => fleet.finished((await fleet.submit(text)).runIds[0]!, DEADLINE_MS);
  assert.equal((await trained(runText('on-four-devices', 1))).weightsDigest, digest);
  await fleet.startWorker('narrow', 240_000);
  const gang = await trained(runText('wide-and-narrow', 2, 2));
  assert.equal(gang.weightsDigest, digest);
  const { workers } = await fleet.until(() => true, 'any');
  const [wide, narrow] = ['wide', 'narrow'].map((name) => workers.find(({ id }) => id === name)!);
  assert.equal(wide!.deviceClass, narrow!.deviceClass, 'the class is that of one device');
  assert.deepEqual(
    wide!.devices,
    [0, 1, 2, 3].map((number) => ({ id: `cpu:${number}`, memoryBytes: wide!.memoryBytes })),
  );
  assert.deepEqual(narrow!.devices, []);
});
