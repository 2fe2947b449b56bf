// Members that give nodes of their shards added up, as a device does that computes several shards: everybody gets the bits of
// the dumb sum, beside members that give each shard, in a thread, over the broker and in memory that members share; and what
// is no node of a member, or would be compressed shard by shard, is refused.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Node, nodesInside } from '../../core/allreduce/plan.ts';
import { createDataPlane } from '../../core/allreduce/plane.ts';
import { createLogger } from '../../core/log.ts';
import { dealShards } from '../../worker/training/device-shards.ts';
import {
  assertWeights,
  expectedSum,
  type GangOptions,
  membersOf,
  synchronise,
  train,
} from '../support/gang.ts';
import { gangHost } from '../support/gang-host.ts';
import { NAMES } from '../support/names.ts';

const { folder, nats, gang } = gangHost('summed-token');
const STEPS = 3;
const ELEMENTS = 70_000;

/** What members with so many devices give. */
const summedOn = (devices: readonly number[], counts: readonly number[]): Node[][] =>
  membersOf(counts).map(({ shardFirst, shardCount }, rank) => {
    const shards = Array.from({ length: shardCount }, (_, i) => shardFirst + i);
    return dealShards({ shards, devices: devices[rank]!, apart: false }).nodes.filter(({ size }) => size > 1);
  });

async function assertSum(
  options: Omit<GangOptions, 'nats' | 'elements'>,
  summed: readonly (readonly Node[])[],
): Promise<void> {
  const { counts } = options;
  const shards = counts.reduce((sum, count) => sum + count, 0);
  await gang({ ...options, elements: ELEMENTS }, async (replicas) => {
    await Promise.all(
      replicas.map(async (replica, rank) => {
        await synchronise(replica);
        await train(replica, membersOf(counts)[rank]!, STEPS, undefined, summed[rank]);
      }),
    );
    assertWeights(replicas, expectedSum(STEPS - 1, shards, ELEMENTS));
  });
}

for (const [counts, devices] of [
  [[8], [1]],
  [[8], [2]],
  [
    [5, 3],
    [2, 2],
  ],
  [
    [1, 14, 1],
    [1, 4, 1],
  ],
  [
    [3, 1, 4],
    [1, 1, 1],
  ],
] as const) {
  const title = `${counts.join('+')} shards on ${devices.join('+')} devices`;
  test(`${title}: the bits of the dumb sum`, async () => {
    const summed = summedOn(devices, counts);
    assert.ok(summed.flat().length > 0);
    await assertSum({ counts }, summed);
    await assertSum({ counts, sharing: () => ({ folder, host: 'a' }) }, summed);
    // One member of the first host speaks for two of them.
    const hosts = ['a', 'a', 'b'];
    await assertSum({ counts, sharing: (rank) => ({ folder, host: hosts[rank]! }) }, summed);
  });
}

test('a member that adds its nodes up stands beside one that gives each shard, also in threads', async () => {
  const log = createLogger({ program: 'test', level: 'silent' });
  const { url, token } = nats();
  const planes = await Promise.all(
    [0, 1].map((i) => createDataPlane({ url, token, log, name: `plane ${i}`, prefixes: NAMES.prefixes })),
  );
  try {
    const counts = [6, 2];
    for (const own of [summedOn([1, 1], counts), [nodesInside(4, 6), []], [[], nodesInside(6, 8)]])
      await assertSum({ counts, planes }, own);
  } finally {
    for (const plane of planes) await plane.close();
  }
});

test('what is no node of the member, and a sum of shards that travel compressed, are refused', async () => {
  for (const [compression, node, message] of [
    ['none', { first: 1, size: 2 }, /^shards 1 to 2 were added up, and they are no node of this member$/],
    ['none', { first: 0, size: 4 }, /^shards 0 to 3 were added up, and they are no node of this member$/],
    ['int8', { first: 0, size: 2 }, /^shards 0 to 1 were added up, and each travels as int8$/],
  ] as const)
    await gang({ counts: [3], elements: 4, compression }, async ([replica]) => {
      const { exchange } = replica!;
      await synchronise(replica!);
      const vectors = new Map([0, 1, 2].map((shard) => [shard, new Float32Array(4)]));
      await assert.rejects(exchange.reduce(0, vectors, { summed: [node] }), { code: 'internal', message });
    });
});
