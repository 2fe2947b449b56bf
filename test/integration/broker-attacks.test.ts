// What the holder of a worker's rights tries on the broker, on a real server with the keys of a fleet: each
// attempt that is none of a worker's is refused, and each that is one works.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import { headers } from '@nats-io/transport-node';
import { systemClock } from '../../core/clock.ts';
import { FleetError, toFleetError } from '../../core/errors.ts';
import { connectData } from '../../core/net/data-connection.ts';
import { connectNats, ensureStreams, type NatsConnection } from '../../core/net/nats.ts';
import { answerPresence, isAbsent } from '../../core/net/presence.ts';
import { createUserKey, createWorkerUsers, type UserKey } from '../../core/net/worker-user.ts';
import { NAMES } from '../support/names.ts';
import { startNats } from '../support/nats.ts';
import { assertNothingLeft, until } from '../support/processes.ts';

const rejectsWith = (code: string, pattern: RegExp) => (error: unknown) =>
  error instanceof FleetError && error.code === code && pattern.test(error.message);

const nats = await startNats({ identities: true });
const coordinator = await connectNats({ ...nats.access, name: 'coordinator' });
await ensureStreams(coordinator, NAMES);
const manager = await jetstreamManager(coordinator);
await jetstream(coordinator).publish(NAMES.journalSubject, 'a decision');
const seed = readFileSync(nats.keys!.workersFile, 'utf8');
const users = createWorkerUsers({ seed, from: 'the file', names: NAMES, clock: systemClock });
const open: NatsConnection[] = [coordinator];
after(async () => {
  await Promise.all(open.map((connection) => connection.close()));
  await nats.stop();
  await assertNothingLeft([nats.pid], [nats.port]);
});

async function identityOf(workerId: string, key: UserKey = createUserKey()) {
  const { jwt } = await users.sign({ workerId, publicKey: key.publicKey });
  return { seed: key.seed, jwt };
}

async function connected(workerId: string): Promise<NatsConnection> {
  const connection = await connectNats({
    ...{ url: nats.url, name: workerId, worker: await identityOf(workerId) },
    inboxPrefix: NAMES.inboxPrefix(workerId),
  });
  open.push(connection);
  return connection;
}

const rogue = await connected('w1');
const js = jetstream(rogue, { timeout: 2_000 });
const jsm = await jetstreamManager(rogue, { timeout: 2_000, checkAPI: false });
const bytes = (text: string) => new TextEncoder().encode(text);
const CHUNK = 'a'.repeat(64);

/** The broker refuses this for want of a right, and the error names the subject. */
async function denied(subject: string, attempt: () => Promise<unknown>): Promise<void> {
  await assert.rejects(attempt, (caught) => {
    const error = toFleetError(caught);
    assert.equal(error.code, 'permissionDenied', error.message);
    assert.ok(error.message.includes(` to ${subject};`), error.message);
    return true;
  });
}

/** The subscription ends with the refusal. */
async function deniedToHear(subject: string): Promise<void> {
  await denied(subject, () => {
    const subscription = rogue.subscribe(subject);
    return subscription.closed.then((reason) => {
      if (reason instanceof Error) throw reason;
    });
  });
}

test('whoever has no identity, or the token of gRPC, does not get in', async () => {
  const none = { url: nats.url, name: 'stranger' };
  await assert.rejects(
    connectNats(none),
    rejectsWith('unauthenticated', /refuses the credentials of stranger, which has none/),
  );
  await assert.rejects(
    connectNats({ ...none, token: 'of-grpc' }),
    rejectsWith('unauthenticated', /refuses the token of stranger/),
  );
  const [mine, other] = [createUserKey(), createUserKey()];
  const stolen = { ...none, worker: { ...(await identityOf('w1', other)), seed: mine.seed } };
  await assert.rejects(connectNats(stolen), rejectsWith('unauthenticated', /refuses the rights of stranger/));
  await assert.rejects(connectData(stolen), rejectsWith('unauthenticated', /refuses the rights of stranger/));
});

test('rights that have expired, or that another account has signed, are refused', async () => {
  const key = createUserKey();
  const worker = { workerId: 'w1', publicKey: key.publicKey };
  const longAgo = { now: () => systemClock.now() - 8 * 86_400_000 };
  const expired = await createWorkerUsers({ seed, from: 'the file', names: NAMES, clock: longAgo }).sign(
    worker,
  );
  assert.ok(users.isDue(expired));
  const stranger = await startNats({ identities: true });
  const foreignSeed = readFileSync(stranger.keys!.workersFile, 'utf8');
  await stranger.stop();
  const foreign = await createWorkerUsers({
    seed: foreignSeed,
    from: '',
    names: NAMES,
    clock: systemClock,
  }).sign(worker);
  for (const { jwt } of [expired, foreign])
    await assert.rejects(
      connectNats({ url: nats.url, name: 'w1', worker: { seed: key.seed, jwt } }),
      rejectsWith('unauthenticated', /refuses the rights of w1, which the coordinator signed/),
    );
});

test('the journal, snapshots, imports and leases are neither read nor written', async () => {
  const { journalStream, journalSubject, journalMarkSubject, importSubject, fleetBucket } = NAMES;
  for (const subject of [journalSubject, journalMarkSubject, importSubject, NAMES.snapshotSubject(0, 'head')])
    await denied(subject, () => js.publish(subject, bytes('garbage')));
  await denied(`$KV.${fleetBucket}.journal`, () => js.publish(`$KV.${fleetBucket}.journal`, bytes('x')));
  await denied(`$JS.API.STREAM.MSG.GET.${journalStream}`, () =>
    jsm.streams.getMessage(journalStream, { seq: 1 }),
  );
  await denied(`$JS.API.DIRECT.GET.${journalStream}`, () => jsm.direct.getMessage(journalStream, { seq: 1 }));
  const last = `$JS.API.DIRECT.GET.${journalStream}.${journalSubject}`;
  await denied(last, () => jsm.direct.getMessage(journalStream, { last_by_subj: journalSubject }));
});

test('streams are neither listed, looked at, made, changed, purged nor deleted', async () => {
  await denied('$JS.API.INFO', () => jsm.getAccountInfo());
  await denied('$JS.API.STREAM.LIST', () => jsm.streams.list().next());
  await denied('$JS.API.STREAM.NAMES', () => jsm.streams.names().next());
  await denied('$JS.API.STREAM.CREATE.MINE', () => jsm.streams.add({ name: 'MINE', subjects: ['mine'] }));
  for (const stream of [NAMES.journalStream, NAMES.artefactStream, NAMES.manifestStream]) {
    await denied(`$JS.API.STREAM.INFO.${stream}`, () => jsm.streams.info(stream));
    await denied(`$JS.API.STREAM.PURGE.${stream}`, () => jsm.streams.purge(stream));
    await denied(`$JS.API.STREAM.DELETE.${stream}`, () => jsm.streams.delete(stream));
    await denied(`$JS.API.STREAM.MSG.DELETE.${stream}`, () => jsm.streams.deleteMessage(stream, 1));
    await denied(`$JS.API.CONSUMER.CREATE.${stream}.mine`, () =>
      jsm.consumers.add(stream, { name: 'mine', deliver_subject: NAMES.journalSubject }),
    );
  }
  await denied('$SYS.REQ.SERVER.PING', () => rogue.request('$SYS.REQ.SERVER.PING', '', { timeout: 2_000 }));
});

test('nothing is heard beside its own subjects, and nobody answers or writes for another worker', async () => {
  for (const subject of ['>', NAMES.journalSubject, '_INBOX.>', `${NAMES.inboxPrefix('w2')}.>`])
    await deniedToHear(subject);
  await deniedToHear(NAMES.presenceSubject('w2', '*'));
  await deniedToHear(NAMES.presenceSubject('*', '*'));
  for (const ghost of ['w2', 'ghost-1'])
    await denied(NAMES.logSubject('run-1', ghost), () =>
      js.publish(NAMES.logSubject('run-1', ghost), bytes('x')),
    );
  const data = await connectData({ url: nats.url, name: 'w1', worker: await identityOf('w1') });
  const heard: unknown[] = [];
  data.onDenied((denial) => heard.push(denial));
  data.subscribe('>', { begin: () => 'skip', message: () => undefined });
  data.publish(NAMES.journalSubject, bytes('x'));
  await until('both refusals', () => heard.length === 2);
  assert.deepEqual(heard, [
    { operation: 'subscription', subject: '>' },
    { operation: 'publish', subject: NAMES.journalSubject },
  ]);
  assert.ok(data.isUp(), 'the link goes on');
  data.close();
});

test('an acknowledgement that is aimed at the journal goes nowhere, and so does what is stored', async () => {
  const before = (await manager.streams.info(NAMES.journalStream)).state.last_seq;
  const aims = [NAMES.journalSubject, `$KV.${NAMES.fleetBucket}.journal`, NAMES.logSubject('run-1', 'w2')];
  for (const reply of aims) {
    rogue.publish(NAMES.historySubject('run-1'), bytes('x'), { reply });
    rogue.publish(`$JS.API.DIRECT.GET.${NAMES.artefactStream}.${NAMES.chunkSubject('run-1', CHUNK)}`, '', {
      reply,
    });
  }
  // The server takes the messages of a connection in order: what was sent before an answered one was taken.
  await js.publish(NAMES.historySubject('run-1'), bytes('y'));
  await coordinator.flush();
  assert.equal((await manager.streams.info(NAMES.journalStream)).state.last_seq, before);
  for (const [stream, subject] of [
    [`KV_${NAMES.fleetBucket}`, aims[1]!],
    [NAMES.logStream, aims[2]!],
  ] as const)
    assert.equal(await manager.direct.getMessage(stream, { last_by_subj: subject }), null);
});

test('a rollup takes no other key of a bucket away', async () => {
  const key = NAMES.checkpointKey('run-1', 1);
  const kv = await new Kvm(coordinator).open(NAMES.manifestBucket);
  await kv.put(NAMES.checkpointKey('run-2', 1), 'theirs');
  for (const what of ['all', 'sub']) {
    const rollup = headers();
    rollup.set('Nats-Rollup', what);
    await assert.rejects(
      js.publish(`$KV.${NAMES.manifestBucket}.${key}`, bytes('mine'), { headers: rollup }),
      /rollup not permitted/,
    );
  }
  assert.equal((await kv.get(NAMES.checkpointKey('run-2', 1)))?.string(), 'theirs');
});

test('what a worker does is allowed: gradients, chunks, manifests, points, lines, its presence', async () => {
  await js.publish(NAMES.historySubject('run-3'), bytes('point'), { msgID: 'one' });
  await js.publish(NAMES.logSubject('run-3', 'w1'), bytes('line'));
  await js.publish(NAMES.chunkSubject('run-3', CHUNK), bytes('chunk'), {
    expect: { streamName: NAMES.artefactStream },
  });
  const chunk = await jsm.direct.getMessage(NAMES.artefactStream, {
    last_by_subj: NAMES.chunkSubject('run-3', CHUNK),
  });
  assert.equal(chunk?.string(), 'chunk');
  const kv = await new Kvm(js).open(NAMES.manifestBucket, { allow_direct: true });
  await kv.create(NAMES.checkpointKey('run-3', 1), 'manifest');
  assert.equal((await kv.get(NAMES.checkpointKey('run-3', 1)))?.string(), 'manifest');
  const process = { workerId: 'w1', incarnation: 'i1' };
  answerPresence(rogue, NAMES, process);
  await rogue.flush();
  assert.equal(await isAbsent(coordinator, NAMES, process), false);
  assert.equal(await isAbsent(coordinator, NAMES, { ...process, incarnation: 'i2' }), true);
});
