// Step points and log lines on their way through a real broker: batches that outlive its death, cut
// differently by two members, and what a reader makes of them.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { createRecordReader } from '../../coordinator/api/record-reader.ts';
import { systemClock } from '../../core/clock.ts';
import { createLogger } from '../../core/log.ts';
import { connectNats, ensureStreams, type NatsConnection } from '../../core/net/nats.ts';
import { LogLine, StepPoint } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { createRecords } from '../../worker/run/history.ts';
import { NAMES } from '../support/names.ts';
import { startNats, type TestNats } from '../support/nats.ts';
import { until } from '../support/processes.ts';

const log = createLogger({ program: 'test', level: 'error' });
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

const recordsOf = (workerId: string) =>
  createRecords({ connection, names: NAMES, workerId, clock: systemClock, log });
const reader = () => createRecordReader({ connection, names: NAMES, log });
const point = (step: number): StepPoint => ({
  step,
  epoch: 0,
  loss: step / 7,
  lossArcface: 1,
  lossKd: Number.NaN,
  learningRate: 0.1,
  gradientNorm: 2,
  imagesPerSecond: 100,
  atMs: 1_700_000_000_000 + step,
  weightsDigest: '0123456789abcdef',
});
const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
const stepsOf = async (runId: string) => (await reader().history(runId)).map(({ step }) => step);
async function messagesOf(stream: string, subject: string): Promise<number> {
  const manager = await jetstreamManager(connection);
  const { state } = await manager.streams.info(stream, { subjects_filter: subject });
  return state.subjects?.[subject] ?? 0;
}

test('many points are few messages, and are read back whole and in order', async () => {
  const records = recordsOf('w1');
  for (const step of range(1, 10_000)) records.publishPoint('run-1', point(step));
  assert.equal(await records.flush(60_000), true);
  records.close();
  assert.deepEqual(await reader().history('run-1'), range(1, 10_000).map(point));
  const messages = await messagesOf(NAMES.historyStream, NAMES.historySubject('run-1'));
  assert.ok(messages <= 12, `${messages} messages`);
});

test('a point that nobody flushes is stored within the time of a batch', async () => {
  const records = recordsOf('w1');
  const startedAt = performance.now();
  records.publishPoint('run-2', point(1));
  await until(
    'it is stored',
    async () => (await messagesOf(NAMES.historyStream, NAMES.historySubject('run-2'))) === 1,
  );
  assert.ok(performance.now() - startedAt > 150, 'it waited for others');
  records.close();
});

test('a broker that dies with batches on their way, and members that cut them differently, change nothing', async () => {
  const [first, second] = [recordsOf('w1'), recordsOf('w2')];
  for (const step of range(1, 400)) first.publishPoint('run-3', point(step));
  assert.equal(await first.flush(60_000), true);
  for (const step of range(401, 600)) first.publishPoint('run-3', point(step));
  // The batch is under way when the broker dies: whether it was stored is not known here.
  const underWay = first.flush(60_000);
  await nats.kill();
  for (const step of range(601, 700)) first.publishPoint('run-3', point(step));
  assert.equal(await first.flush(300), false, 'a broker that is away is waited for only so long');
  await nats.restart();
  assert.equal(await underWay, true);
  assert.equal(await first.flush(60_000), true);
  // The first member is killed with points that it has not sent; the next rank 0 knows its newest ones.
  first.publishPoint('run-3', point(701));
  first.close();
  for (const step of range(650, 750)) second.publishPoint('run-3', point(step));
  assert.equal(await second.flush(60_000), true);
  second.close();
  assert.deepEqual(await reader().history('run-3'), range(1, 750).map(point));
});

test('the same points by two members are one message', async () => {
  const members = ['w1', 'w2', 'w3'].map(recordsOf);
  for (const records of members) {
    for (const step of range(5, 9)) records.publishPoint('run-4', point(step));
    assert.equal(await records.flush(60_000), true);
    records.close();
  }
  assert.equal(await messagesOf(NAMES.historyStream, NAMES.historySubject('run-4')), 1);
  assert.deepEqual(await stepsOf('run-4'), range(5, 9));
});

test('points and lines of an earlier release, one a message, are read among batches', async () => {
  const client = jetstream(connection);
  for (const step of [1, 2, 3])
    await client.publish(NAMES.historySubject('run-5'), StepPoint.encode(point(step)).finish());
  const records = recordsOf('w1');
  for (const step of range(3, 6)) records.publishPoint('run-5', point(step));
  const old = { atMs: 1, workerId: 'w1', runId: 'run-5', level: 'info', text: 'old', sequence: 0 };
  await client.publish(NAMES.logSubject('run-5', 'w1'), LogLine.encode(old).finish());
  records.publishLine({ runId: 'run-5', level: 'info', text: 'new' });
  assert.equal(await records.flush(60_000), true);
  records.close();
  assert.deepEqual(await reader().history('run-5'), range(1, 6).map(point));
  assert.deepEqual(await textsAfter('run-5', 0), ['old', 'new']);
});

async function linesAfter(runId: string, afterSequence: number): Promise<LogLine[]> {
  const lines: LogLine[] = [];
  const { signal } = new AbortController();
  const request = { runId, workerId: '', follow: false, afterSequence, signal };
  for await (const line of reader().logs(request)) lines.push(line);
  return lines;
}
const textsAfter = async (runId: string, afterSequence: number) =>
  (await linesAfter(runId, afterSequence)).map(({ text }) => text);

test('lines are few messages and are gone on with from any of them, also in the middle of a batch', async () => {
  const members = ['w1', 'w2'].map(recordsOf);
  for (const n of range(1, 40))
    members[n % 2]!.publishLine({ runId: 'run-6', level: 'info', text: `line ${n}` });
  for (const records of members) {
    assert.equal(await records.flush(60_000), true);
    records.close();
  }
  for (const workerId of ['w1', 'w2'])
    assert.equal(await messagesOf(NAMES.logStream, NAMES.logSubject('run-6', workerId)), 1, workerId);
  const all = await linesAfter('run-6', 0);
  assert.equal(new Set(all.map(({ text }) => text)).size, 40);
  const positions = all.map(({ sequence }) => sequence);
  assert.deepEqual(
    positions,
    [...positions].sort((a, b) => a - b),
  );
  for (const at of [0, 7, 18, 19, 20, 39])
    assert.deepEqual(await linesAfter('run-6', positions[at]!), all.slice(at + 1), `after ${at}`);
});

test('who follows a log reads a line within a second', async () => {
  const records = recordsOf('w1');
  const gone = new AbortController();
  const delays: number[] = [];
  let writtenAt = 0;
  const write = () => {
    writtenAt = performance.now();
    records.publishLine({ runId: 'run-7', level: 'info', text: 'now' });
  };
  write();
  const request = { runId: 'run-7', workerId: '', follow: true, afterSequence: 0, signal: gone.signal };
  for await (const { text } of reader().logs(request)) {
    assert.equal(text, 'now');
    delays.push(performance.now() - writtenAt);
    if (delays.length === 4) gone.abort();
    else write();
  }
  records.close();
  // The first one waits for the consumer, too.
  assert.ok(Math.min(...delays.slice(1)) < 1000, `${delays}`);
});
