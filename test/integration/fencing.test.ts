// A coordinator that has lost the lead and does not know it yet: nothing of what it decides may reach a
// worker. Real coordinators on a real nats-server; the other writer is the journal itself, as a coordinator
// opens it.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { connectNats } from '../../core/net/nats.ts';
import { startLocalCoordinator } from '../support/coordinator-in-process.ts';
import { journalOn, namesOn } from '../support/names.ts';
import { startNats } from '../support/nats.ts';
import { assertNothingLeft, until } from '../support/processes.ts';
import { dialRawWorker } from '../support/raw-worker.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';

const nats = await startNats();
const connection = await connectNats({ url: nats.url, name: 'other writer' });
after(async () => {
  await connection.close();
  await nats.stop();
  await assertNothingLeft([nats.pid], [nats.port]);
});

/** Takes the lead as another coordinator does: with one append that names the last sequence. */
async function takeLead(): Promise<void> {
  const journal = journalOn(connection, { names: await namesOn(connection) });
  for await (const _ of journal.replay());
  await journal.append([{ kind: 'coordinator.started', epoch: 99, version: 'other', atMs: 1 }]);
}

const LEASE = { runId: 'run-77', generation: 1 };
const finished = {
  $case: 'finished',
  value: {
    ...{ runId: 'run-77', generation: 1, step: 1, weightsDigest: 'feedfeedfeedfeed' },
    evaluation: undefined,
  },
} as const;

test('a deposed coordinator releases nothing and acknowledges nothing, though no event follows from it', async (t) => {
  const deposed = await startLocalCoordinator({ natsUrl: nats.url });
  t.after(() => deposed.close());
  const { endpoint } = deposed;
  const before = dialRawWorker({ endpoint, id: 'w', incarnation: 'i', leases: [LEASE] });
  await until('a leader releases what it does not know', () => before.received.includes('release'));
  await takeLead();
  const again = dialRawWorker({ endpoint, id: 'w', incarnation: 'i', leases: [LEASE] });
  again.send(7, finished);
  again.send(8, { $case: 'verifyResult', value: { requestId: 'of-another', error: '', report: undefined } });
  await until('its stream ends', () => again.end !== undefined);
  assert.deepEqual(again.received, []);
  before.close();
  again.close();
});

test('a coordinator that is cut off from the broker alone sends nothing until it knows that it leads', async (t) => {
  const proxy = await startTcpProxy({ to: nats.port });
  t.after(() => proxy.close());
  const leader = await startLocalCoordinator({ natsUrl: `nats://127.0.0.1:${proxy.port}` });
  t.after(() => leader.close());
  const known = dialRawWorker({ endpoint: leader.endpoint, id: 'v', incarnation: 'i' });
  await until('attached', () => known.received.includes('welcome'));
  known.close();
  assert.ok(proxy.hold(1_500) > 0);
  const heldAt = performance.now();
  const again = dialRawWorker({ endpoint: leader.endpoint, id: 'v', incarnation: 'i', leases: [LEASE] });
  again.send(7, finished);
  await until('effects leave once the broker has answered', () => again.received.includes('acknowledge'));
  assert.deepEqual(again.received, ['welcome', 'release', 'acknowledge'], 'all of them, in their order');
  assert.ok(performance.now() - heldAt > 1_400, 'nothing left before');
  again.close();
});
