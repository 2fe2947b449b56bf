// Which device computes which shards: each once, no device more than it has to, and what is added up there is a node of
// the canonical tree.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type DeviceShards, dealShards } from '../../../../worker/training/device-shards.ts';

const deal = (first: number, count: number, devices: number, apart = false): DeviceShards =>
  dealShards({ shards: Array.from({ length: count }, (_, i) => first + i), devices, apart });

/** The nodes as text, such as `0..4 4`. */
const nodesOf = ({ nodes }: DeviceShards): string =>
  nodes.map(({ first, size }) => (size === 1 ? `${first}` : `${first}..${first + size}`)).join(' ');

test('devices get whole nodes where shards and devices allow it', () => {
  assert.equal(nodesOf(deal(0, 8, 1)), '0..8');
  assert.equal(nodesOf(deal(0, 8, 2)), '0..4 4..8');
  assert.equal(nodesOf(deal(8, 8, 4)), '8..10 10..12 12..14 14..16');
  assert.equal(nodesOf(deal(0, 4, 4)), '0 1 2 3');
  assert.equal(nodesOf(deal(0, 4, 8)), '0 1 2 3');
  // Three on two devices: the two that are a node, wherever they are.
  assert.equal(nodesOf(deal(0, 3, 2)), '0..2 2');
  assert.equal(nodesOf(deal(3, 3, 2)), '3 4..6');
  assert.equal(nodesOf(deal(1, 6, 4)), '1 2..4 4..6 6');
  // No device has four of twelve, though that would be three nodes.
  assert.equal(nodesOf(deal(0, 12, 4)), '0..2 2 3 4..6 6..8 8 9 10..12');
  assert.equal(nodesOf(deal(5, 7, 1)), '5 6..8 8..12');
  assert.equal(nodesOf(deal(0, 8, 2, true)), '0 1 2 3 4 5 6 7');
});

test('every shard is computed once, in as few groups as there may be, by the device of its node', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 40 }),
      fc.integer({ min: 0, max: 40 }),
      fc.integer({ min: 1, max: 9 }),
      fc.boolean(),
      (first, count, devices, apart) => {
        const { groups, nodes } = deal(first, count, devices, apart);
        const placed = groups.flat();
        const shards = placed.map(({ shard }) => shard).sort((a, b) => a - b);
        assert.deepEqual(
          shards,
          Array.from({ length: count }, (_, i) => first + i),
        );
        assert.equal(groups.length, Math.ceil(count / devices));
        for (const group of groups)
          assert.equal(new Set(group.map(({ device }) => device)).size, group.length);
        assert.ok(placed.every(({ device }) => device < devices));
        assert.equal(
          nodes.reduce((end, node) => {
            assert.equal(node.first, end);
            assert.equal(node.first % node.size, 0);
            assert.equal(2 ** Math.round(Math.log2(node.size)), node.size);
            const own = placed.filter(({ shard }) => shard >= node.first && shard < node.first + node.size);
            assert.equal(new Set(own.map(({ device }) => device)).size, 1, 'one device has all of a node');
            for (const one of own) assert.deepEqual(one.node, node);
            return end + node.size;
          }, first),
          first + count,
        );
        if (apart) assert.equal(nodes.length, count);
      },
    ),
    { numRuns: 2_000 },
  );
});
