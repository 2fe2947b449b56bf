import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { FleetError } from '../../core/errors.ts';
import { openThread } from '../../core/thread-calls.ts';
import type { TestCalls, TestNote } from '../support/call-thread.ts';
import { until } from '../support/processes.ts';

const notes: string[] = [];
const start = () =>
  openThread<TestCalls, TestNote, string, number>({
    file: new URL('../support/call-thread.ts', import.meta.url),
    name: 'test thread',
    onNote: (note) => notes.push(note),
  });
const thread = start();
after(() => thread.close());

test('each answer finds its caller, also when the last one is answered first', async () => {
  const order: string[] = [];
  const calls = ['first', 'second'].map((text) =>
    thread.call('later', text).then((answer) => {
      order.push(answer);
      return answer;
    }),
  );
  assert.equal(await thread.call('double', 21), 42);
  assert.equal(thread.open(), 2);
  thread.note('go');
  assert.deepEqual(await Promise.all(calls), ['first', 'second']);
  assert.deepEqual(order, ['second', 'first']);
  assert.deepEqual(notes.splice(0), ['waits: first', 'waits: second']);
  assert.equal(thread.open(), 0);
});

test('a failure keeps code, sentence and details, a mistake its stack, and what cannot be cloned is left out', async () => {
  await assert.rejects(thread.call('refuse', undefined), (caught) => {
    assert.ok(caught instanceof FleetError);
    assert.deepEqual(
      [caught.code, caught.message, caught.details, caught.cause],
      ['notFound', 'there is no such thing', { field: 'a.b', bytes: 10n }, undefined],
    );
    return true;
  });
  await assert.rejects(thread.call('mistake', undefined), (caught) => {
    assert.ok(caught instanceof FleetError && caught.cause instanceof Error);
    assert.match(
      `${caught.code} ${caught.message} ${caught.cause.stack}`,
      /internal a mistake.*call-thread/s,
    );
    return true;
  });
  await assert.rejects(thread.call('odd', 'details'), { code: 'aborted', details: { kept: 1 } });
  await assert.rejects(thread.call('odd', 'answer'), { code: 'internal', message: /could not be cloned/ });
});

test('shared memory is written where it lies, and an answer that owns its memory moves', async () => {
  const shared = new Int32Array(new SharedArrayBuffer(4));
  await thread.call('add', shared);
  assert.equal(shared[0], 1);
  assert.deepEqual(await thread.call('bytes', 3), new Uint8Array([7, 7, 7]));
});

test('each end of a call carries what the thread sends beside it, before the promise settles', async () => {
  const seen: number[] = [];
  const options = { onEnd: (waiting: number) => void seen.push(waiting) };
  await thread.call('double', 1, options);
  await assert.rejects(thread.call('refuse', undefined, options));
  assert.deepEqual(seen, [0, 0]);
});

test('a caller that leaves is rejected with its reason, and the late answer is dropped', async () => {
  const leaving = new AbortController();
  const call = thread.call('later', 'left', { signal: leaving.signal });
  const reason = new FleetError('cancelled', 'left');
  leaving.abort(reason);
  await assert.rejects(call, reason);
  await assert.rejects(thread.call('double', 1, { signal: leaving.signal }), reason);
  thread.note('go');
  await until('the thread has answered', () => thread.open() === 0);
  assert.equal(await thread.call('double', 2), 4);
});

test('a thread that ends by itself rejects what is open and what comes, with one reason', async () => {
  const ending = start();
  const waits = ending.call('later', 'never');
  const refused = assert.rejects(waits, {
    code: 'internal',
    message: 'the test thread ended with exit code 3',
  });
  await assert.rejects(ending.call('exit', 3), { details: { exitCode: 3 } });
  await refused;
  await assert.rejects(ending.call('double', 1), { code: 'internal' });
  assert.equal(ending.ended(), await ending.died);
});

test('a note that cannot be taken, and a file that is no thread, end the thread and not the process', async () => {
  const ending = start();
  await ending.ready;
  ending.note('throw');
  assert.match((await ending.died).message, /^test thread: .*a note that cannot be taken/);
  const absent = openThread({
    file: new URL('../support/absent.ts', import.meta.url),
    name: 'absent thread',
  });
  assert.match((await absent.died).message, /^absent thread: .*absent/s);
});

test('closing rejects what is open as cancelled, and nobody is told of a death', async () => {
  const closing = start();
  const refused = assert.rejects(closing.call('later', 'never'), {
    code: 'cancelled',
    message: 'the test thread was closed',
  });
  let died = false;
  void closing.died.then(() => {
    died = true;
  });
  await closing.close();
  await refused;
  assert.equal(died, false);
});
