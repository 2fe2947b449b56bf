import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDeferred } from '../../../../core/deferred.ts';
import { createTeacherBlocks } from '../../../../worker/training/teacher-blocks.ts';

const key = { network: 'n', order: 'o', step: 3, shard: 1 };

test('a block is computed once, also while it is being computed', async () => {
  const blocks = createTeacherBlocks();
  const values = createDeferred<Float32Array>();
  const first = blocks.get(key, () => values.promise);
  const second = blocks.get(key, () => assert.fail('computed twice'));
  assert.deepEqual([first.isShared, second.isShared], [false, true]);
  values.resolve(Float32Array.of(1, 2));
  assert.equal(await first.block, await second.block);
  assert.deepEqual(await blocks.get(key, () => assert.fail('computed again')).block, Float32Array.of(1, 2));
});

test('another network, order, step or shard is another block', async () => {
  const blocks = createTeacherBlocks();
  await blocks.get(key, async () => Float32Array.of(0)).block;
  for (const change of [{ network: 'm' }, { order: 'p' }, { step: 4 }, { shard: 0 }]) {
    const other = blocks.get({ ...key, ...change }, async () => Float32Array.of(1));
    assert.equal(other.isShared, false, JSON.stringify(change));
    assert.deepEqual(await other.block, Float32Array.of(1));
  }
});

test('what failed is computed again by whoever asks next', async () => {
  const blocks = createTeacherBlocks();
  const failing = blocks.get(key, () => Promise.reject(new Error('no memory')));
  const waiting = blocks.get(key, () => assert.fail('it is being computed'));
  await assert.rejects(failing.block, /no memory/);
  await assert.rejects(waiting.block, /no memory/);
  assert.deepEqual(await blocks.get(key, async () => Float32Array.of(4)).block, Float32Array.of(4));
});

test('the blocks that were used last stay within the bound', async () => {
  const blocks = createTeacherBlocks({ bytesMax: 8 });
  const at = (step: number) => blocks.get({ ...key, step }, async () => Float32Array.of(step));
  for (const step of [1, 2]) await at(step).block;
  assert.equal(at(1).isShared, true);
  await at(3).block;
  assert.deepEqual([at(1).isShared, at(2).isShared], [true, false]);
});
