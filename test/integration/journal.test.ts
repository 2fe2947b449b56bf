import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import type { Journal } from '../../coordinator/journal/journal.ts';
import type { Event } from '../../coordinator/model/events.ts';
import { FleetError } from '../../core/errors.ts';
import { connectNats, ensureStreams, type NatsConnection } from '../../core/net/nats.ts';
import { namesOf, prefixesOf } from '../../core/net/subjects.ts';
import { intercepted } from '../support/intercepted.ts';
import { journalOn, NAMES } from '../support/names.ts';
import { startNats, type TestNats } from '../support/nats.ts';

let nats: TestNats;
let connection: NatsConnection;
before(async () => {
  nats = await startNats();
  connection = await connectNats({ url: nats.url, token: '', name: 'test' });
  await ensureStreams(connection, NAMES);
});
after(async () => {
  await connection.close();
  await nats.stop();
});

const event = (text: string): Event => ({ kind: 'run.cancelled', runId: 'run-1', reason: text, atMs: 1 });

async function replayed(journal: Journal): Promise<string[]> {
  const reasons: string[] = [];
  for await (const events of journal.replay())
    for (const found of events) reasons.push((found as { reason: string }).reason);
  return reasons;
}

test('what was appended is replayed in order, however large a group was', async () => {
  const journal = journalOn(connection);
  assert.deepEqual(await replayed(journal), []);
  await journal.append([event('a'), event('b')]);
  assert.equal(journal.sequence, 1, 'one message a group');
  // Text that no deflating makes shorter than a message of the broker.
  const text = () => randomBytes(30_000).toString('hex');
  const large = Array.from({ length: 120 }, (_, i) => event(`${i}:${text()}`));
  await journal.append(large);
  assert.ok(journal.sequence > 5, 'a group above the message limit is cut');
  const names = (await replayed(journalOn(connection))).map((text) => text.split(':')[0]);
  assert.deepEqual(names, ['a', 'b', ...large.map((_, i) => String(i))]);
});

test('of two writers the one that claims later goes on, and the other is refused for good', async () => {
  const first = journalOn(connection);
  await replayed(first);
  const second = journalOn(connection);
  await replayed(second);
  await second.append([event('second')]);
  await assert.rejects(first.append([event('first')]), { code: 'aborted', message: /the lead is lost/ });
  await second.append([event('still second')]);
  const all = await replayed(journalOn(connection));
  assert.deepEqual(all.slice(-2), ['second', 'still second']);
  assert.ok(!all.includes('first'));
});

test('a coordinator that takes the lead while another one reads is no damage, at whatever request it comes', async () => {
  let requests = 1;
  for (let at = 1; at <= requests; at++) {
    const fleet = `race-${at}`;
    const names = namesOf(prefixesOf(fleet, 'test'));
    await ensureStreams(connection, names);
    const leader = journalOn(connection, { names, fleet });
    let count = 0;
    const watched = intercepted(connection, async () => {
      count += 1;
      if (count !== at) return;
      await replayed(leader);
      await leader.append([event('claim')]);
      await leader.remember();
    });
    const reader = journalOn(watched, { names, fleet });
    await reader.prepare();
    await replayed(reader);
    requests = Math.max(requests, count);
  }
  assert.ok(requests > 5, `${requests} requests`);
});

test('a writer that has lost the lead learns it, whichever of its requests the broker leaves unanswered', async () => {
  let requests = 1;
  for (let at = 1; at <= requests; at++) {
    let count = 0;
    const watched = intercepted(connection, async () => {
      count += 1;
      if (count === at) throw new FleetError('deadlineExceeded', 'no answer');
    });
    const first = journalOn(watched);
    count = Number.NEGATIVE_INFINITY;
    await replayed(first);
    const second = journalOn(connection);
    await replayed(second);
    await second.append([event('second')]);
    count = 0;
    await assert.rejects(first.append([event('first')]), { code: 'aborted', message: /the lead is lost/ });
    requests = Math.max(requests, count - 1);
  }
  assert.ok(requests > 2, `${requests} requests`);
});

test('an append waits for a broker that is away, and is stored once', async () => {
  const journal = journalOn(connection);
  const known = (await replayed(journal)).length;
  await nats.kill('SIGKILL');
  const appended = journal.append([event('through the restart')]);
  await nats.restart();
  await appended;
  await journal.append([event('after')]);
  const all = await replayed(journalOn(connection));
  assert.deepEqual(all.slice(known), ['through the restart', 'after']);
});

test('an append whose answer was lost is recognised as stored, and nothing is written twice', async () => {
  const outcomes: string[] = [];
  const journal = journalOn(connection, {
    onAppend(outcome) {
      outcomes.push(outcome);
      void nats.kill('SIGCONT');
    },
  });
  await replayed(journal);
  // The broker stands still with the append in its socket until the client has given up waiting; it stores it then, and is asked again.
  await nats.kill('SIGSTOP');
  await journal.append([event('asked twice')]);
  assert.deepEqual(
    outcomes,
    ['error', 'error'],
    'the first timed out, the second was refused as a repetition',
  );
  await journal.append([event('goes on')]);
  const all = await replayed(journalOn(connection));
  assert.deepEqual(all.slice(-2), ['asked twice', 'goes on']);
});
