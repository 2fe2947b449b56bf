import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../../../core/clock.ts';
import { createDeferred } from '../../../../core/deferred.ts';
import { createLogger } from '../../../../core/log.ts';
import { pointRecord, pointsIn } from '../../../../core/net/record-batch.ts';
import { StepPoint } from '../../../../proto/gen/pocketfleet/v1/fleet.ts';
import { createRecordQueue, WAITING_BYTES_MAX } from '../../../../worker/run/record-queue.ts';

const log = createLogger({ program: 'test', level: 'silent' });
const record = (step: number, weightsDigest = '') =>
  pointRecord(StepPoint.fromPartial({ step, weightsDigest }));

function queueTo(
  publish: (subject: string, message: Uint8Array, id: string) => Promise<unknown>,
  messageBytesMax = 2 ** 20,
) {
  return createRecordQueue({
    publish,
    isClosed: () => false,
    messageBytesMax: () => messageBytesMax,
    clock: systemClock,
    log,
  });
}

test('a batch is closed by size before its time, and never above half of what the broker takes', async () => {
  const sent: number[] = [];
  const queue = queueTo(async (_subject, message) => void sent.push(message.length), 4000);
  for (let step = 1; step <= 1000; step++) queue.add('s', record(step));
  assert.equal(await queue.flush(1000), true);
  queue.close();
  assert.ok(sent.length > 1 && Math.max(...sent) < 4000, `${sent}`);
});

test('a broker that is away for long costs the oldest points, the newest arrive in order', async () => {
  const isBack = createDeferred<void>();
  const steps: number[] = [];
  const queue = queueTo(async (_subject, message) => {
    await isBack.promise;
    steps.push(...pointsIn(message).map(({ step }) => step));
  });
  const large = 'd'.repeat(50_000);
  const count = Math.ceil(WAITING_BYTES_MAX / large.length) + 200;
  for (let step = 1; step <= count; step++) queue.add('s', record(step, large));
  const flushed = queue.flush(60_000);
  isBack.resolve();
  assert.equal(await flushed, true);
  queue.close();
  // The first batch was under way when it was dropped.
  const newest = steps.slice(steps.findIndex((step, i) => i > 0 && step !== steps[i - 1]! + 1));
  assert.ok(newest.length > 500 && newest.length < count - 100, `${newest.length} of ${count}`);
  const from = count - newest.length + 1;
  assert.deepEqual(
    newest,
    newest.map((_, i) => from + i),
  );
});

test('what is added in the very moment in which the last batch leaves is sent too', async () => {
  const subjects: string[] = [];
  const queue = queueTo(async (subject) => {
    subjects.push(subject);
    if (subjects.length < 50)
      void Promise.resolve()
        .then(() => undefined)
        .then(() => {
          queue.add(`s${subjects.length}`, record(1));
          void queue.flush(1000);
        });
  });
  queue.add('s0', record(1));
  for (let n = 0; n < 50; n++) assert.equal(await queue.flush(1000), true);
  queue.close();
  assert.equal(subjects.length, 50);
});

test('a queue that is closed, or whose caller leaves, ends a flush at once', async () => {
  const queue = queueTo(() => new Promise(() => undefined));
  queue.add('s', record(1));
  const leaving = new AbortController();
  const left = queue.flush(60_000, leaving.signal);
  leaving.abort();
  assert.equal(await left, false);
  const closing = queue.flush(60_000);
  queue.close();
  assert.equal(await closing, false);
});
