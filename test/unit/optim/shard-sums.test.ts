// Vectors of shards that are added up where they were computed: whatever the order in which they come, each node has the
// bits of the canonical tree, nothing is left, and nothing is left where an addition fails.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createShardSums, type TreeNode } from '../../../core/optim/shard-sums.ts';
import type { Resident, ResidentModule } from '../../../core/tensor/graph/engine.ts';
import { dumbSum, shardVector } from '../../support/gang.ts';

const ELEMENTS = 7;

/** Vectors of a device that is none, of which is known how many there are. */
function fakeDevice({ failsAt = Number.POSITIVE_INFINITY } = {}) {
  const values = new Map<Resident, Float32Array>();
  let calls = 0;
  const vectorOf = (given: Float32Array): Resident => {
    const vector: Resident = {
      length: given.length,
      devices: [0],
      read: (into) => into.set(values.get(vector)!),
      free: () => void values.delete(vector),
    };
    values.set(vector, given);
    return vector;
  };
  const pairSum: ResidentModule = {
    run: () => assert.fail('a sum is of the device that has both halves'),
    runPlaced(lists) {
      if (++calls >= failsAt) throw new Error('out of memory');
      return lists.map(({ donated: [left], kept: [right] }) => {
        const sum = values.get(left!)!.map((value, i) => Math.fround(value + values.get(right!)![i]!));
        left!.free();
        return vectorOf(sum);
      });
    },
    dispose: () => undefined,
  };
  return { vectorOf, pairSum, left: () => values.size };
}

/** A node of up to 16 shards, and its shards in any order, in groups of any size. */
const arrivals = fc
  .record({ level: fc.integer({ min: 0, max: 4 }), at: fc.integer({ min: 0, max: 3 }) })
  .chain(({ level, at }) => {
    const size = 2 ** level;
    const node: TreeNode = { first: at * size, size };
    const shards = Array.from({ length: size }, (_, i) => node.first + i);
    return fc.record({
      node: fc.constant(node),
      order: fc.shuffledSubarray(shards, { minLength: size, maxLength: size }),
      groupSize: fc.integer({ min: 1, max: size }),
    });
  });

const groupsOf = (shards: readonly number[], size: number): number[][] =>
  Array.from({ length: Math.ceil(shards.length / size) }, (_, i) => shards.slice(i * size, (i + 1) * size));

test('a node is written with its last shard, with the bits of the tree, in whatever order shards come', () => {
  fc.assert(
    fc.property(arrivals, ({ node, order, groupSize }) => {
      const { vectorOf, pairSum, left } = fakeDevice();
      const sums = createShardSums();
      const into = new Float32Array(ELEMENTS).fill(Number.NaN);
      const vectors = Array.from({ length: node.first + node.size }, (_, shard) =>
        shardVector(1, shard, ELEMENTS),
      );
      for (const group of groupsOf(order, groupSize)) {
        assert.ok(into.every(Number.isNaN), 'nothing is written before');
        const given = group.map((shard) => ({ shard, node, into, vector: vectorOf(vectors[shard]!) }));
        sums.take(pairSum, given);
        assert.ok(sums.waiting() <= node.size / 2 + 1);
        assert.equal(left(), sums.waiting());
      }
      assert.deepEqual(into, dumbSum(vectors, node.first, node.size));
      assert.equal(sums.waiting(), 0);
      assert.equal(left(), 0);
    }),
    { numRuns: 300 },
  );
});

test('what waits is freed when an addition fails, and when nobody wants it any more', () => {
  for (const failsAt of [2, Number.POSITIVE_INFINITY]) {
    const { vectorOf, pairSum, left } = fakeDevice({ failsAt });
    const sums = createShardSums();
    const node = { first: 0, size: 8 };
    const take = (shard: number) =>
      sums.take(pairSum, [
        { shard, node, into: new Float32Array(1), vector: vectorOf(Float32Array.of(shard)) },
      ]);
    for (const shard of [0, 1, 2]) take(shard);
    assert.equal(left(), 2);
    if (failsAt === 2) assert.throws(() => take(3), /out of memory/);
    else sums.free();
    assert.equal(sums.waiting(), 0);
    assert.equal(left(), 0);
  }
});
