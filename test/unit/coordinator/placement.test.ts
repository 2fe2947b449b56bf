import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { placeShards } from '../../../coordinator/placement.ts';

const gang = fc
  .integer({ min: 0, max: 8 })
  .chain((power) => fc.tuple(fc.constant(2 ** power), fc.integer({ min: 1, max: 2 ** power })));

test('every shard has exactly one holder, in aligned power-of-two blocks, none above twice another', () => {
  fc.assert(
    fc.property(gang, ([shards, count]) => {
      const ids = Array.from({ length: count }, (_, i) => `w${i}`);
      const members = placeShards(ids, shards);
      assert.deepEqual(
        members.map((member) => member.workerId),
        ids,
        'rank order is kept',
      );
      let next = 0;
      for (const { shardFirst, shardCount } of members) {
        assert.equal(shardFirst, next);
        assert.equal(shardCount & (shardCount - 1), 0, 'a power of two');
        assert.equal(shardFirst % shardCount, 0, 'aligned to its size');
        next += shardCount;
      }
      assert.equal(next, shards);
      const counts = members.map((member) => member.shardCount);
      assert.ok(Math.max(...counts) <= 2 * Math.min(...counts));
    }),
  );
});

test('more members than shards is a mistake of the caller', () => {
  assert.throws(() => placeShards(['a', 'b', 'c'], 2), /assertion/);
});
