// `npm run test:pjrt`, kinds of training: a teacher, one with a sharded head, one in rounds, and a student of a teacher have the same bits
// on a worker with two devices beside one with one, and on one worker alone, all by the CPU plugin of PJRT; and replays of
// them there compute every checkpoint again.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { streamed } from '../../core/net/grpc-client.ts';
import type { ReplayPoint, Run } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { startFleet, type TestFleet } from '../support/fleet.ts';
import { QUICK_XLA_FLAGS } from '../support/pjrt.ts';

/** A compiler takes minutes for a step where other programs want the processor too. */
const DEADLINE_MS = 1_500_000;
const EPOCHS = 2;

const KINDS = {
  'every-step': '',
  'sharded-head': ', head: sharded',
  rounds: ', sync: { kind: outer, every: 3 }',
  student: '',
} as const;
type Kind = keyof typeof KINDS;
const NAMES = Object.keys(KINDS) as Kind[];

let fleet: TestFleet;
/** What both workers have trained together. */
const together = new Map<Kind, Run>();

/** 8 classes of 4 images, 8 a step: 4 steps an epoch, in rounds of 3 and 1. */
const runText = (kind: Kind, workers: number) => `
kind: ${kind === 'student' ? 'student' : 'teacher'}
name: ${kind}-${workers}
network: { kind: iresnet, blocks: [1, 1, 1, 1], widths: [4, 4, 4, 4], stem: 4, embedding: 8 }
data: { kind: synthetic, identities: 12, images: 4, holdout: 4, seed: 5 }
training: { epochs: ${EPOCHS}, batch: 8, shards: 4, seed: 7, optimizer: { learningRate: 0.05 }${KINDS[kind]} }
verification: { pairs: 40 }
workers: { min: ${workers}, max: ${workers} }
checkpoints: { keep: all }
${kind === 'student' ? `distillation: { teacher: ${together.get('every-step')!.id} }` : ''}
`;

const trained = async (kind: Kind, workers: number): Promise<Run> =>
  fleet.finished((await fleet.submit(runText(kind, workers))).runIds[0]!, DEADLINE_MS);

before(async () => {
  fleet = await startFleet({
    workers: [],
    worker: { POCKETFLEET_ENGINE: 'pjrt', XLA_FLAGS: QUICK_XLA_FLAGS },
  });
  await fleet.startWorker('wide', 240_000, { POCKETFLEET_ENGINE_DEVICES: '2' });
  await fleet.startWorker('narrow', 240_000);
});
after(() => fleet?.stop());

test('each kind of training has the same bits on two workers with three devices and on one', async () => {
  for (const kind of NAMES) together.set(kind, await trained(kind, 2));
  const digests = [...together.values()].map(({ weightsDigest }) => weightsDigest);
  assert.equal(new Set(digests).size, NAMES.length, 'each kind trains something else');
  await fleet.killWorker('wide');
  for (const kind of NAMES)
    assert.equal((await trained(kind, 1)).weightsDigest, together.get(kind)!.weightsDigest, kind);
});

test('a replay computes every checkpoint of each kind again', async () => {
  for (const kind of NAMES) {
    const runId = together.get(kind)!.id;
    const call = fleet.client.replay({ runId, fromStage: 0, toStage: 0, eachStep: false, steps: [] });
    const points: ReplayPoint[] = [];
    for await (const point of streamed(call, AbortSignal.timeout(DEADLINE_MS))) points.push(point);
    const found = points.map(({ stage, verdict }) => [stage, verdict?.equal]);
    assert.deepEqual(
      found,
      Array.from({ length: EPOCHS }, (_, i) => [i + 1, true]),
      kind,
    );
  }
});
