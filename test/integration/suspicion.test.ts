// Members that are there and do not do their part, in a real fleet whose heartbeat budget is out of reach: only what the gang
// itself sees can find them. One process is stopped, then a link to the broker carries nothing; each time the others go on
// within seconds, and the member comes back when it can.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
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
  await gangOf('the others make steps', ({ step }) => step > shrunk.step + 5);
}

test('a stopped member is left behind, and comes back when it goes on', async () => {
  const { workerIds } = await wholeGang();
  const stopped = workerIds[1]!;
  await fleet.killWorker(stopped, 'SIGSTOP');
  await goesOnWithout(stopped);
  await fleet.killWorker(stopped, 'SIGCONT');
  await gangOf('it is back', (run) => run.workerIds.includes(stopped));
});

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
