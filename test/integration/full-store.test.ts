// A broker whose store is full, with a coordinator and a scripted worker: seen within seconds where people look, refused at
// once where somebody asks, and gone by itself when there is room. The real disk is soak-store's.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { jetstream } from '@nats-io/jetstream';
import { judgeStore, type StoreFacts } from '../../coordinator/store/store-state.ts';
import { createArtefactStore } from '../../core/checkpoint/store.ts';
import { unary } from '../../core/net/grpc-client.ts';
import { connectNats, type NatsConnection } from '../../core/net/nats.ts';
import type { Names } from '../../core/net/subjects.ts';
import { runText, startLocalCoordinator } from '../support/coordinator-in-process.ts';
import { namesOn } from '../support/names.ts';
import { startNats, type TestNats } from '../support/nats.ts';
import { assertNothingLeft } from '../support/processes.ts';
import { startScriptedWorker } from '../support/scripted-worker.ts';

const LIMIT = 8 << 20;
const SEEN_MS = 5_000;
let nats: TestNats;
let connection: NatsConnection;
let names: Names;
before(async () => {
  nats = await startNats({ storeBytesMax: LIMIT });
  connection = await connectNats({ url: nats.url, name: 'full' });
  names = await namesOn(connection);
});
after(async () => {
  await connection.close();
  await nats.stop();
  await assertNothingLeft([nats.pid], [nats.port]);
});

let chunks = 0;
/** Stores chunks until the broker refuses them. */
async function fill(bytes = 256 * 1024): Promise<void> {
  const client = jetstream(connection);
  for (;;) {
    try {
      await client.publish(names.blobChunkSubject('f'.repeat(64), chunks), new Uint8Array(bytes));
      chunks += 1;
    } catch {
      return;
    }
  }
}

test('full of checkpoints: shown, submit refused at once, cancel works, and with room it goes on by itself', async (t) => {
  const coordinator = await startLocalCoordinator({ natsUrl: nats.url });
  t.after(() => coordinator.close());
  const { client } = coordinator;
  const options = { endpoint: coordinator.endpoint, token: '', id: 'w', trainingImages: 64 };
  const worker = startScriptedWorker({
    ...options,
    storeWait: 'storing chunk 3 of checkpoint.run-1.1: no room',
  });
  t.after(() => worker.close());
  worker.setRunning(false);
  await coordinator.submit(runText('waits'));
  await coordinator.until(
    (seen) => seen.runs[0]?.state === 'waiting',
    'the run waits in the words of its worker',
  );
  const store = createArtefactStore({ connection, names });
  await store.putArtefact({
    key: names.checkpointKey('run-1', 1),
    parts: [{ name: 'backbone', pieces: [new Uint8Array(100_000)] }],
  });
  await store.close();
  await fill();
  await coordinator.until((seen) => seen.store?.state === 'full', 'full', SEEN_MS);
  const full = await coordinator.until(
    (seen) => seen.store?.reason.includes('the most is held by run-1 (97.7 KiB)') ?? false,
    'full, and of what',
    SEEN_MS,
  );
  assert.match(
    full.store!.reason,
    /^the store at nats:\S+ is full since \S+Z: .* MiB of \d\.\d MiB are used, and PF_LOCAL_ARTEFACTS has .* MiB of the .* MiB that are its part/,
  );
  assert.match(full.store!.reason, /raise its limit: .*goes on by itself$/);
  const waits = await coordinator.until(
    (seen) => seen.runs[0]!.reason.includes('is full since'),
    'its reason',
  );
  assert.equal(waits.runs[0]!.reason, `waits for the store: ${full.store!.reason}`);
  const startedAt = performance.now();
  await assert.rejects(coordinator.submit(runText('refused')), {
    code: 'resourceExhausted',
    message: full.store!.reason,
  });
  assert.ok(performance.now() - startedAt < 1_000, 'at once');
  const metrics = await (await fetch(`http://${coordinator.metricsEndpoint}/metrics`)).text();
  assert.match(metrics, /pocketfleet_store_blocked\{state="full"\} 1/);
  assert.match(metrics, /pocketfleet_store_bytes\{kind="limit"\} 8\d{6}/);
  await unary(client, client.cancel, { id: 'run-1', reason: 'to see whether it can be' });
  await coordinator.until((seen) => seen.runs[0]?.state === 'cancelled', 'cancelled from the reserve');
  worker.close();
  await nats.restart({ storeBytesMax: 4 * LIMIT });
  await coordinator.until((seen) => seen.store?.state === 'ok', 'there is room', 15_000);
  assert.deepEqual(await coordinator.submit(runText('taken')), ['run-2']);
  assert.equal(coordinator.failure(), undefined);
  await coordinator.close();
});

test('full to the last byte, the journal too: reads are served, also after a start, and nothing is lost', async (t) => {
  await nats.restart({ storeBytesMax: 4 * LIMIT });
  const coordinator = await startLocalCoordinator({ natsUrl: nats.url });
  t.after(() => coordinator.close());
  await coordinator.until((seen) => seen.store?.state === 'ok' && seen.store.limitBytes > LIMIT, 'shares');
  await nats.restart({ storeBytesMax: 2 << 20 });
  await coordinator.until((seen) => seen.store?.state === 'full', 'full', 3 * SEEN_MS);
  await assert.rejects(coordinator.submit(runText('refused')), { code: 'resourceExhausted' });
  const cancel = { id: 'run-2', reason: 'x' };
  const startedAt = performance.now();
  await assert.rejects(unary(coordinator.client, coordinator.client.cancel, cancel), {
    code: 'resourceExhausted',
  });
  assert.ok(performance.now() - startedAt < 3_000, 'a cancel that cannot be journalled is refused soon');
  await coordinator.close();
  const next = await startLocalCoordinator({ natsUrl: nats.url });
  t.after(() => next.close());
  const seen = await next.until((now) => now.store?.state === 'full', 'full at a start', 3 * SEEN_MS);
  assert.deepEqual(
    seen.runs.map(({ id, state }) => [id, state]),
    [
      ['run-1', 'cancelled'],
      ['run-2', 'queued'],
    ],
  );
  assert.match(seen.runs[1]!.reason, /^waits for the store: .* is full since/);
  const health = await unary(next.client, next.client.getStore, {});
  assert.equal(health.state, 'full');
  const worker = startScriptedWorker({ endpoint: next.endpoint, token: '', id: 'w', trainingImages: 64 });
  t.after(() => worker.close());
  await nats.restart({ storeBytesMax: 8 * LIMIT });
  await next.until((now) => now.runs[1]?.state === 'done', 'the run goes on and ends', 20_000);
  // Facts go on with the first append that finds room; calls once the next look at the store has seen it.
  await next.until((now) => now.store?.state === 'ok', 'there is room');
  assert.deepEqual(await next.submit(runText('taken')), ['run-3']);
  assert.equal(next.failure(), undefined);
  worker.close();
  await next.close();
});

const facts: StoreFacts = {
  streams: [{ name: 'PF_ARTEFACTS', bytes: 100, bytesMax: 10 << 20, needsBytes: 1 << 19 }],
  limitBytes: 20 << 20,
  place: '/store',
  diskFreeBytes: 1 << 30,
  refused: undefined,
  silentMs: 0,
  holders: [],
};

test('a disk without room, a refused write and a broker that confirms nothing are told apart, each with its numbers', () => {
  const at = (change: Partial<StoreFacts>) => judgeStore({ ...facts, ...change }, undefined, 0);
  assert.equal(at({}).reason, '');
  assert.match(
    at({ diskFreeBytes: 4096 }).reason,
    /^the store at \/store is full .*100 B of 20\.0 MiB are used, and its disk has 4\.0 KiB free/,
  );
  assert.match(
    at({ refused: 'insufficient resources' }).reason,
    /a write was refused \(insufficient resources\)/,
  );
  assert.match(
    at({ refused: 'x', holders: ['run-1 (13.8 GiB)', 'run-7 (40.0 MiB)'] }).reason,
    /; the most is held by run-1 \(13\.8 GiB\), run-7 \(40\.0 MiB\); give the store room \(`pocketfleet prune`/,
  );
  assert.equal(at({ silentMs: 3_900 }).kind, 'ok');
  assert.match(at({ silentMs: 4_100 }).reason, /does not store since .* restart nats-server/);
  const before = at({ refused: 'x' });
  assert.equal(judgeStore({ ...facts, refused: 'x' }, before, 9_000).sinceMs, 0, 'since its begin');
});
