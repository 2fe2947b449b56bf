// A journal that is not as it was left, on a real nats-server: each damage by name is one sentence with its sequence
// and the repair, reads are served, nothing is decided, and `truncate` brings the fleet back without a restart.

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type JetStreamManager, jetstream, jetstreamManager } from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import { BEGINNING } from '../../coordinator/journal/chain.ts';
import { readableText } from '../../coordinator/journal/message.ts';
import { unary } from '../../core/net/grpc-client.ts';
import { connectNats, type NatsConnection } from '../../core/net/nats.ts';
import type { Names } from '../../core/net/subjects.ts';
import { pocketfleet } from '../support/cli.ts';
import { type LocalCoordinator, runText, startLocalCoordinator } from '../support/coordinator-in-process.ts';
import { type Bare, begun, messageAfter, placeAfter } from '../support/groups.ts';
import { namesOn } from '../support/names.ts';
import { startNats, type TestNats } from '../support/nats.ts';
import { assertNothingLeft, until } from '../support/processes.ts';

let nats: TestNats;
let connection: NatsConnection;
let manager: JetStreamManager;
let names: Names;
/** Messages of a fleet that led three times and has three runs: 6 of them. */
let good: Uint8Array[];
before(async () => {
  nats = await startNats();
  connection = await connectNats({ url: nats.url, name: 'damage' });
  names = await namesOn(connection);
  manager = await jetstreamManager(connection);
  for (const name of ['one', 'two', 'three'])
    await withCoordinator(async (coordinator) => void (await coordinator.submit(runText(name))));
  good = await stored();
  assert.equal(good.length, 6);
});
after(async () => {
  await connection.close();
  await nats.stop();
  await assertNothingLeft([nats.pid], [nats.port]);
});

async function withCoordinator(use: (coordinator: LocalCoordinator) => Promise<void>): Promise<void> {
  const coordinator = await startLocalCoordinator({ natsUrl: nats.url });
  try {
    await use(coordinator);
  } finally {
    await coordinator.close();
  }
}

async function stored(): Promise<Uint8Array[]> {
  const { state } = await manager.streams.info(names.journalStream);
  const messages: Uint8Array[] = [];
  for (let seq = 1; seq <= state.last_seq; seq++)
    messages.push((await manager.streams.getMessage(names.journalStream, { seq }))!.data);
  return messages;
}

/** A journal of these messages that anybody may damage. */
async function journalOf(messages: readonly (Uint8Array | string)[]): Promise<void> {
  await manager.streams.delete(names.journalStream).catch(() => false);
  await manager.streams.add({ name: names.journalStream, subjects: [names.journalSubject] });
  for (const message of messages) await jetstream(connection).publish(names.journalSubject, message);
  await remember(messages.length);
}
async function remember(sequence: number): Promise<void> {
  await (await new Kvm(connection).open(names.fleetBucket)).put(
    'journal',
    JSON.stringify({ sequence, uid: names.prefixes.keys.slice(0, -1) }),
  );
}

/** A group of these events that continues messages of the journal. */
const groupAfter = (messages: readonly Uint8Array[], ...events: Bare[]): Uint8Array =>
  messageAfter(placeAfter(messages), events);

const runsOf = async ({ client }: LocalCoordinator) =>
  (await unary(client, client.listRuns, { planId: '', sweepId: '' })).runs.map(({ name }) => name);

/** Halted with this sentence, reads served, nothing decided; then cut off after `keep`, and going again. */
async function haltsAndIsRepaired(expected: {
  sequence: number;
  sentence: RegExp;
  keep: number;
  runs: readonly string[];
  runsKept?: readonly string[];
}): Promise<void> {
  await withCoordinator(async (coordinator) => {
    const { client } = coordinator;
    const store = await unary(client, client.getStore, {});
    assert.match(store.halted, new RegExp(`damaged at sequence ${expected.sequence}: `));
    assert.match(store.halted, expected.sentence);
    assert.match(store.halted, new RegExp(`truncate --after ${expected.keep}\``));
    assert.ok(!store.halted.includes('\n'));
    assert.deepEqual(await runsOf(coordinator), expected.runs);
    await coordinator.until((seen) => seen.store?.halted === store.halted, 'watch shows it', 2_000);
    const { last_seq: last } = (await manager.streams.info(names.journalStream)).state;
    await assert.rejects(coordinator.submit(runText('new')), { code: 'dataLoss', message: store.halted });
    const { damage, goodSequence, lastSequence } = await unary(client, client.checkJournal, {});
    assert.deepEqual([goodSequence, lastSequence], [expected.keep, last]);
    assert.equal(damage, store.halted);
    const request = { after: goodSequence, lastSequence, reason: 'a test' };
    const tooFar = { ...request, after: lastSequence + 1 };
    await assert.rejects(unary(client, client.truncateJournal, tooFar), { code: 'invalidArgument' });
    await assert.rejects(unary(client, client.truncateJournal, { ...request, lastSequence: last + 5 }), {
      code: 'aborted',
    });
    await unary(client, client.truncateJournal, request);
    await coordinator.until((seen) => seen.store?.halted === '', 'it leads again', 5_000);
    assert.deepEqual(await runsOf(coordinator), expected.runsKept ?? expected.runs);
    const [id] = await coordinator.submit(runText('after'));
    assert.ok(Number(id!.slice(4)) > 3, `no id is given twice: ${id}`);
    assert.equal(coordinator.failure(), undefined);
  });
  // Also the next start passes what was cut out.
  await withCoordinator(async (coordinator) => {
    assert.deepEqual(await runsOf(coordinator), [...(expected.runsKept ?? expected.runs), 'after']);
    const { client } = coordinator;
    assert.equal((await unary(client, client.checkJournal, {})).damage, '');
  });
}

test('seven bytes that are not ours, also when something follows them', async () => {
  await journalOf([...good.slice(0, 4), 'seven b', ...good.slice(4)]);
  await haltsAndIsRepaired({
    sequence: 5,
    sentence: /7 bytes that are no JSON/,
    keep: 4,
    runs: ['one', 'two'],
  });
});

test('an event of a wrong shape, and one that fits nothing before it', async () => {
  const runs = ['one', 'two', 'three'];
  for (const [event, sentence] of [
    [{ kind: 'run.cancelled', runId: 7 }, /run\.cancelled event with a wrong runId, reason/],
    [{ kind: 'run.cancelled', runId: 'run-8', reason: 'x' }, /does not fit what came before/],
  ] as const) {
    await journalOf([...good, groupAfter(good, event)]);
    await withCoordinator(async ({ client }) => {
      const { halted } = await unary(client, client.getStore, {});
      assert.match(halted, sentence);
      assert.match(halted, /damaged at sequence 7: .*--after 6/);
    });
  }
  await journalOf([...good, '{"events": 5}']);
  await haltsAndIsRepaired({ sequence: 7, sentence: /JSON, but no group/, keep: 6, runs });
});

test('a message that was replaced by another group of the same journal', async () => {
  const first = good.slice(0, 2);
  const other = groupAfter(first, { kind: 'coordinator.started', epoch: 7, version: 'forged' });
  await journalOf([...first, other, ...good.slice(3)]);
  await haltsAndIsRepaired({
    sequence: 4,
    sentence: /the message does not continue message 3: one of the two was replaced/,
    keep: 2,
    runs: ['one'],
  });
});

test('a deflated message of which one bit has changed: what it gave out is not given out again', async () => {
  const messages = good.map((data) => Uint8Array.from(data));
  const last = messages.at(-1)!;
  assert.equal(last[0], 3, 'it is deflated');
  last[20]! ^= 4;
  await journalOf(messages);
  await haltsAndIsRepaired({
    ...{ sequence: 6, keep: 5, runs: ['one', 'two'] },
    sentence: /the message is \d+ bytes that (cannot be inflated|are no JSON)/,
  });
});

test('ids that were given out in rows alone, in a message that is cut off', async () => {
  const attempted = { kind: 'trial.attempted', trialId: 'trial-9', runId: 'run-40', reason: 'x' };
  const group = groupAfter(good, attempted);
  assert.ok(!readableText(group)!.includes('run-40'), 'it stands as a row');
  await journalOf([...good, group]);
  await withCoordinator(async (coordinator) => {
    const { client } = coordinator;
    assert.match((await unary(client, client.getStore, {})).halted, /does not fit what came before/);
    await unary(client, client.truncateJournal, { after: 6, lastSequence: 7, reason: 'a test' });
    await coordinator.until((seen) => seen.store?.halted === '', 'it leads again', 5_000);
    assert.deepEqual(await coordinator.submit(runText('after')), ['run-41']);
  });
});

test('what an older release, another fleet and another journal have written', async () => {
  const started = { kind: 'coordinator.started', epoch: 9, version: '0.0.9' };
  const old = JSON.stringify({ writer: 'w', group: 1, events: [{ atMs: 1, ...started }] });
  await journalOf([...good, old]);
  await haltsAndIsRepaired({
    ...{ sequence: 7, keep: 6, runs: ['one', 'two', 'three'] },
    sentence: /the message is of format 1 and follows one of format 3: a coordinator of an older release/,
  });
  const stranger = messageAfter(placeAfter(good), [started], 'ffff0000ffff0000');
  await journalOf([...good, stranger]);
  await haltsAndIsRepaired({
    ...{ sequence: 7, keep: 6, runs: ['one', 'two', 'three'] },
    sentence: /the message is of journal ffff0000ffff0000, and this is journal [0-9a-f]{16}/,
  });
  const uid = names.journalUid!;
  await journalOf([messageAfter(BEGINNING, [begun(uid, { fleet: 'far' }), started])]);
  await withCoordinator(async ({ client }) => {
    const { halted } = await unary(client, client.getStore, {});
    assert.match(
      halted,
      /damaged at sequence 1: the message begins the journal of fleet far, and this is fleet l/,
    );
  });
});

test('what a newer release has written is named with its format and release, and nothing is to be cut off', async () => {
  const newer = {
    format: 4,
    journal: names.journalUid,
    events: [{ kind: 'journal.begun', version: '9.1.0' }],
  };
  const dreamt = groupAfter(good, { kind: 'run.dreamt', runId: 'run-1' });
  for (const [message, sentence] of [
    [JSON.stringify(newer), /the message is of format 4, which release 9\.1\.0 or a newer one has written; /],
    [Uint8Array.of(5, 1, 2), /the message is of format 5, which release test or a newer one has written; /],
    [
      dreamt,
      /has an event of the unknown kind "run\.dreamt", which release test or a newer one has written; /,
    ],
  ] as const) {
    await journalOf([...good, message]);
    await withCoordinator(async (coordinator) => {
      const { client } = coordinator;
      const { halted } = await unary(client, client.getStore, {});
      assert.match(halted, /^the journal cannot be read from sequence 7 of stream PF_LOCAL_JOURNAL on: /);
      assert.match(halted, sentence);
      assert.match(halted, /this release reads formats up to 3; no decision is made by it: start release/);
      assert.doesNotMatch(halted, /truncate|\n/);
      assert.deepEqual(await runsOf(coordinator), ['one', 'two', 'three']);
      await assert.rejects(coordinator.submit(runText('new')), { code: 'dataLoss', message: halted });
    });
  }
});

test('a message that was deleted, in the middle and at the end', async () => {
  await journalOf(good);
  await manager.streams.deleteMessage(names.journalStream, 3);
  await manager.streams.deleteMessage(names.journalStream, 4);
  await haltsAndIsRepaired({ sequence: 3, sentence: /messages 3 to 4 are missing/, keep: 2, runs: ['one'] });
  await journalOf(good);
  await manager.streams.deleteMessage(names.journalStream, 6);
  await haltsAndIsRepaired({ sequence: 6, sentence: /message 6 is missing/, keep: 5, runs: ['one', 'two'] });
});

test('a stream that was purged, one that was emptied and made anew, and one from an older copy', async () => {
  const none = { runs: [], keep: 0, sequence: 1 };
  const history = jetstream(connection).publish(names.historySubject('run-3'), 'x');
  await history;
  await journalOf(good);
  await manager.streams.purge(names.journalStream);
  await haltsAndIsRepaired({ ...none, sentence: /messages 1 to 6 are missing \(the stream was purged/ });
  await journalOf([]);
  await remember(6);
  await haltsAndIsRepaired({
    ...none,
    sentence: /its stream is empty, and it has reached sequence 6 before/,
  });
  await journalOf(good.slice(0, 4));
  await remember(6);
  await haltsAndIsRepaired({
    ...{ sequence: 5, keep: 4, runs: ['one', 'two'] },
    sentence: /ends at sequence 4 and has reached 6 before/,
  });
});

test('a stream that is gone is no new fleet, at a start and while it runs; what is left of it says so too', async () => {
  await journalOf(good);
  await withCoordinator(async (coordinator) => {
    const { client } = coordinator;
    await manager.streams.delete(names.journalStream);
    await coordinator.until((seen) => /is gone/.test(seen.store?.halted ?? ''), 'it is noticed', 5_000);
    assert.deepEqual(await runsOf(coordinator), ['one', 'two', 'three'], 'what was known is still shown');
    await assert.rejects(coordinator.submit(runText('new')), {
      code: 'dataLoss',
      message: /PF_LOCAL_JOURNAL is gone/,
    });
    assert.equal(coordinator.failure(), undefined);
    assert.equal((await unary(client, client.checkJournal, {})).lastSequence, 0);
  });
  const forget = await new Kvm(connection).open(names.fleetBucket);
  await forget.delete('journal');
  await withCoordinator(async ({ client }) => {
    assert.match(
      (await unary(client, client.getStore, {})).halted,
      /PF_LOCAL_JOURNAL is gone, while step points/,
    );
    await unary(client, client.truncateJournal, { after: 0, lastSequence: 0, reason: 'begin anew' });
    await until('it begins anew', async () => (await unary(client, client.getStore, {})).halted === '');
  });
});

test('a foreign message while the fleet runs halts it where it is; it goes on once that was cut off', async () => {
  await journalOf(good);
  await withCoordinator(async (coordinator) => {
    const { client } = coordinator;
    await coordinator.submit(runText('own'));
    const { last_seq: last } = (await manager.streams.info(names.journalStream)).state;
    await jetstream(connection).publish(names.journalSubject, 'seven b');
    await assert.rejects(coordinator.submit(runText('refused')), {
      code: 'dataLoss',
      message: new RegExp(`damaged at sequence ${last + 1}: .*7 bytes.*truncate --after ${last}`),
    });
    assert.deepEqual(await runsOf(coordinator), ['one', 'two', 'three', 'own']);
    await unary(client, client.truncateJournal, { after: last, lastSequence: last + 1, reason: 'cut' });
    await coordinator.until((seen) => seen.store?.halted === '', 'it leads again', 5_000);
    assert.deepEqual(await coordinator.submit(runText('next')), ['run-5']);
    // With a fleet that leads and a whole journal: what is cut off is gone, and the leader has it from the journal.
    const now = (await manager.streams.info(names.journalStream)).state.last_seq;
    await unary(client, client.truncateJournal, { after: last, lastSequence: now, reason: 'back' });
    await until('the leader has read it again', async () => (await runsOf(coordinator)).length === 4);
    await until('it takes what comes', () =>
      coordinator.submit(runText('again')).then(
        (ids) => ids[0] === 'run-6',
        () => false,
      ),
    );
    assert.equal(coordinator.failure(), undefined);
  });
});

test('the command names the damage, refuses to ask nobody, keeps a copy and cuts off', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-journal-'));
  await journalOf([...good, 'seven b', good[1]!]);
  await withCoordinator(async (coordinator) => {
    const where = ['--coordinator', coordinator.endpoint, '--token', 'x'];
    const checked = await pocketfleet(['journal', 'check', ...where]);
    assert.equal(checked.code, 1);
    assert.match(checked.out, /^the journal is damaged at sequence 7: .*truncate --after 6/);
    const listed = await pocketfleet(['plans', ...where]);
    assert.equal(listed.code, 0);
    assert.match(
      listed.err,
      /^no plans\nwhat is shown may be incomplete: the journal is damaged at sequence 7: /,
    );
    const copy = join(folder, 'copy.jsonl');
    const cut = ['journal', 'truncate', '--after', '6', ...where];
    const asked = await pocketfleet([...cut, '--copy', join(folder, 'asked.jsonl')]);
    assert.equal(asked.code, 1);
    assert.match(asked.err, /add --yes/);
    assert.ok(!existsSync(join(folder, 'asked.jsonl')), 'nothing was cut off, and no copy is in the way');
    const done = await pocketfleet([...cut, '--copy', copy, '--yes']);
    assert.equal(done.code, 0, done.err);
    assert.match(done.err, /2 messages after 6 are to be cut off, 2 of them are there; a copy is in /);
    const lines = readFileSync(copy, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { sequence: number; base64: string });
    assert.deepEqual(
      lines.map(({ sequence }) => sequence),
      [7, 8],
    );
    assert.equal(Buffer.from(lines[0]!.base64, 'base64').toString(), 'seven b');
    await coordinator.until((seen) => seen.store?.halted === '', 'it leads again', 5_000);
  });
  rmSync(folder, { recursive: true });
});

test('manifests that are no manifests of ours do not end a coordinator', async () => {
  const bucket = await new Kvm(connection).open(names.manifestBucket);
  await bucket.put(names.checkpointKey('run-1', 1), 'seven b');
  await bucket.put(names.checkpointKey('run-1', 1).replace(/1$/, 'x'), 'y');
  await bucket.put(names.evaluationKey('run-1'), 'seven b');
  await journalOf(good);
  await withCoordinator(async ({ client }) => {
    await assert.rejects(unary(client, client.getEvaluation, { runId: 'run-1' }), {
      code: 'dataLoss',
      message: /manifest of \w+\.evaluation\.run-1 is damaged .*7 bytes that are no JSON/,
    });
  });
});
