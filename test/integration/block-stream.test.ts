// Blocks of teacher embeddings between workers, on a real broker: who computes one when several want it, and what
// becomes of a block whose maker is gone, whose bytes have changed, or whose stream is full or away.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StorageType } from '@nats-io/jetstream';
import { headers } from '@nats-io/transport-node';
import { type Clock, systemClock } from '../../core/clock.ts';
import { createDeferred } from '../../core/deferred.ts';
import { sha256Hex } from '../../core/digest.ts';
import { createLogger } from '../../core/log.ts';
import { ensureEmbeddingStream, removeEmbeddingStream } from '../../core/net/embedding-stream.ts';
import { streamClient, streamManager } from '../../core/net/jetstream.ts';
import { connectNats } from '../../core/net/nats.ts';
import type { BlockForm } from '../../core/spec/distillation.ts';
import { createBlockStream, orderToken } from '../../worker/run/block-stream.ts';
import { createBlockSupply } from '../../worker/training/block-supply.ts';
import type { BlockKey } from '../../worker/training/teacher-blocks.ts';
import { NAMES } from '../support/names.ts';
import { startNats } from '../support/nats.ts';

const KEY: BlockKey = { network: 'ab'.repeat(32), order: 'an order', step: 3, shard: 1 };
const VALUES = Float32Array.of(0.5, -1.25, 3);
const LENGTH = VALUES.length;
/** Of the broker, for streams in memory. */
const MEMORY = 2 ** 21;
const log = createLogger({ program: 'worker', level: 'fatal' });

/** Time that passes as it is slept. */
function sleepingClock(): Clock {
  let ms = 0;
  return {
    now: () => ms,
    monotonic: () => ms,
    sleep: async (more) => {
      ms += more;
    },
  };
}

test('one of several computes a block; a maker that is gone, changed bytes and a lost stream cost one computation each', async () => {
  const nats = await startNats({
    config: `accounts { FLEET: { jetstream: { max_mem: ${MEMORY}, max_file: 64MB }, users: [{ user: fleet, password: word }] } }\nno_auth_user: fleet\n`,
  });
  const connection = await connectNats({ url: nats.url, name: 'worker' });
  const manager = await streamManager(connection);
  const events: string[] = [];
  const member = (
    runId: string,
    options: { device?: string; form?: BlockForm; clock?: Clock; poolRunId?: string } = {},
  ) => {
    const { clock = systemClock } = options;
    const stream = createBlockStream({
      ...{ connection, names: NAMES, runId, log, now: clock.monotonic },
      device: options.device ?? 'class a',
      form: options.form ?? 'float32',
    });
    return {
      stream,
      supply: createBlockSupply({
        ...{ stream, clock, poolRunId: options.poolRunId, onStep: () => undefined },
        onEvent: (event) => events.push(`${runId} ${event}`),
      }),
    };
  };
  const fails = () => assert.fail('computed twice');
  /** Until a block that was computed is stored. */
  const stored = async (key: BlockKey) => {
    const { stream } = member('observer');
    while ((await stream.look(key, LENGTH)).kind !== 'block') await systemClock.sleep(2);
  };
  try {
    await ensureEmbeddingStream(manager, NAMES, 1 << 20);
    const [a, b] = [member('run-1'), member('run-2')];

    // Both want it at once: the other one takes what the first has published, bit by bit.
    const made = createDeferred<Float32Array>();
    const first = a.supply.obtain(KEY, LENGTH, () => made.promise);
    while ((await b.stream.look(KEY, LENGTH)).kind !== 'claim') await systemClock.sleep(2);
    const second = b.supply.obtain(KEY, LENGTH, fails);
    made.resolve(VALUES);
    assert.deepEqual(await first, { values: VALUES, source: 'computed' });
    assert.deepEqual(await second, { values: VALUES, source: 'fetched' });
    assert.equal(await b.supply.make(KEY, LENGTH, fails), 'there', 'whoever runs ahead passes over it');

    // Another class has other bits.
    const other = await member('run-3', { device: 'class b' }).supply.obtain(KEY, LENGTH, async () => VALUES);
    assert.equal(other.source, 'computed');

    // Where blocks are float16 each has half of the bytes, and whoever is exact does not take one.
    const rounded = { ...KEY, order: 'an order of float16' };
    const half = (runId: string) => member(runId, { form: 'float16' });
    await half('run-10').supply.obtain(rounded, LENGTH, async () => VALUES);
    const found = half('run-11').stream;
    while ((await found.look(rounded, LENGTH)).kind !== 'block') await systemClock.sleep(2);
    const taken = await half('run-11').supply.obtain(rounded, LENGTH, fails);
    assert.deepEqual(taken, { values: VALUES, source: 'fetched' });
    const placed = NAMES.blockSubject(orderToken(rounded.order, 'class a'), KEY.network.slice(0, 32), 3, 1);
    const lying = await manager.direct.getMessage(NAMES.embeddingStream, { last_by_subj: placed });
    assert.equal(lying?.data.byteLength, 2 * LENGTH);
    const refused = await b.stream.look(rounded, LENGTH);
    assert.equal(refused.kind === 'damaged' && refused.reason, 'it is of float16');
    // What float16 cannot hold travels as it is.
    const far = { ...rounded, step: 4 };
    const wide = Float32Array.of(1e9, 1 / 3, 0);
    await half('run-10').supply.obtain(far, LENGTH, async () => wide);
    while ((await found.look(far, LENGTH)).kind !== 'block') await systemClock.sleep(2);
    assert.deepEqual((await half('run-11').supply.obtain(far, LENGTH, fails)).values, wide);

    // A claim whose maker was killed is taken over after twice the time that it named.
    const dead = { ...KEY, step: 4 };
    assert.equal(await a.stream.claim(dead, { over: 0, forMs: 40_000 }), true);
    assert.equal(await b.stream.claim(dead, { over: 0, forMs: 1 }), false, 'it is claimed');
    const clock = sleepingClock();
    await member('run-4', { clock }).supply.obtain(dead, LENGTH, async () => VALUES);
    assert.equal(clock.now(), 60_000, 'no announcement counts for more than 30 s');
    assert.deepEqual(
      events.filter((event) => event.startsWith('run-4')),
      ['run-4 taken_over'],
    );
    await stored(dead);

    // An embedding run is waited for as long as computing takes, and no longer once nothing of it was seen.
    const waiting = sleepingClock();
    const student = member('run-5', { clock: waiting, poolRunId: 'run-9' }).supply;
    const times: number[] = [];
    for (let step = 10; step < 20; step++) {
      const begunAt = waiting.now();
      await student.obtain({ ...KEY, step }, LENGTH, async () => {
        times.push(waiting.now() - begunAt);
        await waiting.sleep(2_500);
        return VALUES;
      });
    }
    assert.deepEqual(times.slice(0, 3), [2_000, 2_500, 500]);
    assert.equal(times.at(-1), 0);

    // A changed bit is found, and the block is computed anew.
    const bytes = new Uint8Array(VALUES.slice().buffer);
    const of = headers();
    for (const [name, value] of [
      ['Block-By', 'run-1'],
      ['Block-Device', 'class a'],
      ['Block-Digest', sha256Hex(bytes)],
    ] as const)
      of.set(name, value);
    bytes[2]! ^= 1;
    const subject = NAMES.blockSubject(orderToken(KEY.order, 'class a'), KEY.network.slice(0, 32), 3, 1);
    await connection.request(subject, bytes, { headers: of, timeout: 5_000 });
    assert.equal((await b.supply.obtain(KEY, LENGTH, async () => VALUES)).source, 'computed');
    assert.ok(events.includes('run-2 damaged'));
    await stored(KEY);

    // A stream that is full has lost its oldest blocks; one that is gone has none.
    await ensureEmbeddingStream(manager, NAMES, 400);
    assert.equal(
      (await a.supply.obtain({ ...KEY, step: 10 }, LENGTH, async () => VALUES)).source,
      'computed',
    );
    await stored({ ...KEY, step: 10 });
    await removeEmbeddingStream(manager, NAMES);
    await removeEmbeddingStream(manager, NAMES);
    for (const step of [10, 11])
      assert.equal((await a.supply.obtain({ ...KEY, step }, LENGTH, async () => VALUES)).source, 'computed');

    // A broker without memory for one more block costs a computation; once it has some, blocks travel again.
    await ensureEmbeddingStream(manager, NAMES, 1 << 20);
    const full = member('run-7');
    const until = systemClock.monotonic() + 30_000;
    let step = 100;
    const published = async () => {
      const seen = events.length;
      step += 1;
      await full.supply.obtain({ ...KEY, step }, LENGTH, async () => VALUES);
      do await systemClock.sleep(2);
      while (events.length === seen && systemClock.monotonic() < until);
      return events.at(-1);
    };
    assert.equal(await published(), 'run-7 published');
    await manager.streams.add({ name: 'HOG', subjects: ['hog'], storage: StorageType.Memory });
    const hog = streamClient(connection);
    const fits = () =>
      hog.publish('hog', new Uint8Array(MEMORY / 64)).then(
        () => true,
        () => false,
      );
    while (await fits()) assert.ok(systemClock.monotonic() < until, 'the memory of the broker is full');
    // What is left takes a claim of a few bytes at most.
    while ((await published()) === 'run-7 published') assert.ok(systemClock.monotonic() < until);
    assert.equal(events.at(-1), 'run-7 unpublished');
    await manager.streams.delete('HOG');
    while ((await published()) !== 'run-7 published')
      assert.ok(systemClock.monotonic() < until, 'blocks travel again');
    assert.equal((await b.supply.obtain({ ...KEY, step }, LENGTH, fails)).source, 'fetched');

    // A broker that hangs costs one request, and then nothing for a while.
    await nats.kill('SIGSTOP');
    const { stream, supply } = member('run-6');
    assert.equal((await stream.look(KEY, LENGTH)).kind, 'away');
    const askedAt = systemClock.monotonic();
    assert.equal(await supply.make(KEY, LENGTH, fails), 'away');
    assert.equal((await stream.look(KEY, LENGTH)).kind, 'away');
    assert.ok(systemClock.monotonic() - askedAt < 1_000);
    await nats.kill('SIGCONT');
  } finally {
    await connection.close();
    await nats.stop();
  }
});
