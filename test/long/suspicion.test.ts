// Members that are there and do not do their part, in a real fleet whose heartbeat budget is out of reach: only what the gang
// itself sees can find them. One process is stopped, then a link to the broker carries nothing, then one is stopped in a gang whose head
// is sharded, where the others wait for it in another exchange; each time they go on within seconds, and the member
// comes back when it can.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { unary } from '../../core/net/grpc-client.ts';
import type { Run, Snapshot } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { startFleet, type TestFleet } from '../support/fleet.ts';

/** 120 images, 16 a step: more steps than the test needs. */
const SPEC = `
kind: teacher
name: watched
network: { kind: pocketnet, channels: 2, layers: 4, embedding: 8, genotype: casia }
data: { kind: synthetic, identities: 8, images: 24, holdout: 3, seed: 5 }
training: { epochs: 2000, batch: 16, shards: 8, seed: 7, optimizer: { learningRate: 0.01 } }
verification: { pairs: 40 }
workers: { min: 1, max: 3 }
`;
/** 16 classes, two for each of 8 shards. */
const SHARDED = SPEC.replace('name: watched', 'name: watched-head')
  .replace('identities: 8', 'identities: 19')
  .replace('shards: 8,', 'shards: 8, head: sharded,');
const WAIT_MS = 60_000;
const HOLD_MS = 300_000;

let fleet: TestFleet;
let runId: string;
before(async () => {
  fleet = await startFleet({
    workers: ['w1', 'w2', 'w3'],
    damageable: true,
    coordinator: { POCKETFLEET_HEARTBEATS_MISSED_MAX: '10000' },
  });
  [runId] = (await fleet.submit(SPEC)).runIds as [string];
});
after(() => fleet.stop());

const runIn = (snapshot: Snapshot): Run => snapshot.runs.find(({ id }) => id === runId)!;
const gangOf = async (what: string, holds: (run: Run) => boolean): Promise<Run> =>
  runIn(await fleet.until((snapshot) => holds(runIn(snapshot)), what, WAIT_MS));

/** All three have made some steps together. */
async function wholeGang(): Promise<Run> {
  const formed = await gangOf('all three train', ({ workerIds }) => workerIds.length === 3);
  return gangOf(
    'they make steps',
    ({ workerIds, step }) => workerIds.length === 3 && step >= formed.step + 10,
  );
}

async function goesOnWithout(workerId: string): Promise<void> {
  const shrunk = await gangOf(`it goes on without ${workerId}`, (run) => !run.workerIds.includes(workerId));
  assert.equal(shrunk.workerIds.length, 2);
  // And not because a transport gave it up, which takes much longer.
  assert.match(
    fleet.tails(400),
    new RegExp(`${workerId} was lost: it says nothing to its gang for [0-9.]+ s in ${runId}`),
  );
  await gangOf('the others make steps', ({ step }) => step > shrunk.step + 5);
}

async function stoppedOneComesBack(): Promise<void> {
  const { workerIds } = await wholeGang();
  const stopped = workerIds[1]!;
  await fleet.killWorker(stopped, 'SIGSTOP');
  await goesOnWithout(stopped);
  await fleet.killWorker(stopped, 'SIGCONT');
  await gangOf('it is back', (run) => run.workerIds.includes(stopped));
}

test('a stopped member is left behind, and comes back when it goes on', stoppedOneComesBack);

test('a member whose link to the broker carries nothing is left behind although it reports, and comes back with the link', async () => {
  const { workerIds } = await wholeGang();
  const cutOff = workerIds[2]!;
  assert.ok(fleet.wire(cutOff).broker.hold(HOLD_MS) > 0);
  // It dials anew when it has found its link dead; that is no better.
  const holding = setInterval(() => fleet.wire(cutOff).broker.hold(HOLD_MS), 50);
  try {
    await goesOnWithout(cutOff);
  } finally {
    clearInterval(holding);
  }
  await gangOf('it is back over a new connection', (run) => run.workerIds.includes(cutOff));
});

test('a stopped member of a gang with a sharded head is left behind, and comes back when it goes on', async () => {
  await unary(fleet.client, fleet.client.cancel, { id: runId, reason: 'the test goes on with another' });
  [runId] = (await fleet.submit(SHARDED)).runIds as [string];
  await stoppedOneComesBack();
});
