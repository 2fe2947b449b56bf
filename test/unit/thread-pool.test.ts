import assert from 'node:assert/strict';
import { readdir, stat } from 'node:fs/promises';
import { test } from 'node:test';
import { FleetError } from '../../core/errors.ts';
import { createThreadPool, type ThreadPoolOptions } from '../../core/thread-pool.ts';
import type { Odd } from '../support/odd-thread.ts';
import { until } from '../support/processes.ts';

async function withCalls(
  options: Partial<ThreadPoolOptions>,
  body: (calls: ReturnType<typeof createThreadPool<Odd, unknown, number>>) => Promise<void>,
): Promise<void> {
  const before = await threadCount();
  const calls = createThreadPool<Odd, unknown, number>({
    file: new URL('../support/odd-thread.ts', import.meta.url),
    work: 'reading the thing',
    threads: 1,
    waitingMax: 1,
    memoryMiB: 64,
    ...options,
  });
  try {
    await body(calls);
  } finally {
    await calls.close();
  }
  await until('no thread is left', async () => (await threadCount()) === before);
}

/** Threads of this process; those of the file system's pool are all started first. */
async function threadCount(): Promise<number> {
  await Promise.all(Array.from({ length: 8 }, () => stat('.')));
  return (await readdir('/proc/self/task')).length;
}

const spin = () => {
  const turns = new Int32Array(new SharedArrayBuffer(4));
  return { turns, odd: { kind: 'spin', turns } as const };
};

test('a call is answered, reports progress, and a refusal keeps code, sentence and details', () =>
  withCalls({}, async (calls) => {
    assert.deepEqual(await calls.call({ kind: 'echo', value: { a: [1, 2] } }), { a: [1, 2] });
    const seen: number[] = [];
    assert.equal(await calls.call({ kind: 'count', to: 3 }, { onProgress: (n) => seen.push(n) }), 'counted');
    assert.deepEqual(seen, [1, 2, 3]);
    await assert.rejects(calls.call({ kind: 'refuse' }), {
      code: 'notFound',
      message: 'there is no such thing',
      details: { field: 'a.b' },
    });
  }));

test('a call that fills its memory ends in one sentence, and the next one works', () =>
  withCalls({}, async (calls) => {
    await assert.rejects(calls.call({ kind: 'grow' }), {
      code: 'invalidArgument',
      message: 'reading the thing needs more than 64 MiB of memory, the limit',
    });
    assert.equal(await calls.call({ kind: 'echo', value: 1 }), 1);
  }));

test('a call over its deadline ends in one sentence, its thread stops, and the next one works', () =>
  withCalls({ deadlineMs: 50 }, async (calls) => {
    const { turns, odd } = spin();
    await assert.rejects(calls.call(odd), {
      code: 'invalidArgument',
      message: 'reading the thing takes longer than 0.05 s, the limit',
    });
    await untilStill(turns);
    assert.equal(await calls.call({ kind: 'echo', value: 1 }), 1);
  }));

test('a caller that leaves ends the work at once, whether it is in hand or waits', () =>
  withCalls({}, async (calls) => {
    const { turns, odd } = spin();
    const [first, second] = [new AbortController(), new AbortController()];
    const inHand = calls.call(odd, { signal: first.signal });
    const waits = calls.call({ kind: 'echo', value: 1 }, { signal: second.signal });
    await until('the thread works', () => Atomics.load(turns, 0) > 0);
    second.abort();
    await assert.rejects(waits, { code: 'cancelled' });
    first.abort();
    await assert.rejects(inHand, { code: 'cancelled' });
    await untilStill(turns);
    assert.equal(await calls.call({ kind: 'echo', value: 2 }), 2);
  }));

test('calls beyond the threads wait, and beyond the queue they are refused', () =>
  withCalls({ threads: 1, waitingMax: 1 }, async (calls) => {
    const { turns, odd } = spin();
    const leaving = new AbortController();
    const inHand = calls.call(odd, { signal: leaving.signal });
    const waits = calls.call({ kind: 'echo', value: 1 });
    await assert.rejects(calls.call({ kind: 'echo', value: 2 }), {
      code: 'resourceExhausted',
      message: 'reading the thing: 1 calls are in hand and 1 wait, the limit; try again later',
    });
    await until('the thread works', () => Atomics.load(turns, 0) > 0);
    leaving.abort();
    await assert.rejects(inHand, { code: 'cancelled' });
    assert.equal(await waits, 1);
  }));

test('a thread that ends by itself fails its call, and the next one works', () =>
  withCalls({}, async (calls) => {
    await assert.rejects(calls.call({ kind: 'exit' }), /reading the thing: the thread ended with code 7/);
    assert.equal(await calls.call({ kind: 'echo', value: 1 }), 1);
  }));

test('a file that is no thread fails the calls and not the process', () =>
  withCalls({ file: new URL('../support/absent-thread.ts', import.meta.url) }, async (calls) => {
    await assert.rejects(calls.call({ kind: 'echo', value: 1 }), (caught) => caught instanceof FleetError);
  }));

test('closing rejects what is open, and nothing is taken afterwards', () =>
  withCalls({}, async (calls) => {
    const { odd } = spin();
    const open = calls.call(odd);
    const refused = assert.rejects(open, { code: 'cancelled' });
    await calls.close();
    await refused;
    await assert.rejects(calls.call({ kind: 'echo', value: 1 }), { code: 'cancelled' });
  }));

/** A thread that spins adds far more than once in the time of two looks. */
async function untilStill(turns: Int32Array): Promise<void> {
  let last = -1;
  await until('the thread stands still', () => {
    const now = Atomics.load(turns, 0);
    const still = now === last;
    last = now;
    return still;
  });
}
