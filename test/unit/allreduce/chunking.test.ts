// The canonical sum as members really compute it, chunk by chunk of a plan and each from its own nodes, against a plain sum of
// whole vectors: for any number of shards, placement, length and order of the chunks.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createKernels, createSharedMemory } from '../../../core/allreduce/kernels/create-kernels.ts';
import { type Compression, type Member, planOf } from '../../../core/allreduce/plan.ts';
import { type Leaf, sumInPlace, sumRoot } from '../../../core/allreduce/reduce.ts';
import { philox } from '../../../core/rng.ts';

const SHARDS_MAX = 32;
/** Several slices of a plan (from 64 blocks of 256 elements on) and a ragged end. */
const ELEMENTS_MAX = 40_000;
const WHOLE = Math.ceil(ELEMENTS_MAX / 256) * 256;
const DEPTHS = Math.log2(SHARDS_MAX) + 1;
const memory = createSharedMemory((SHARDS_MAX + 1 + DEPTHS) * WHOLE * 4);
const kernels = createKernels(memory);
const floats = new Float32Array(memory.buffer);
/** Vectors of the shards, then the sum, then temporaries; in elements. */
const areaOf = (index: number): number => index * WHOLE;

/** Numbers of very different size, so that another order of additions gives other bits. */
function noise(seed: number, shard: number, elements: number): Float32Array {
  const out = new Float32Array(elements);
  for (let i = 0; i < elements; i += 2) {
    const [a, b, exponentA, exponentB] = philox([seed, shard], [i, 0, 0, 0]) as unknown as number[];
    out[i] = (a! / 2 ** 31 - 1) * 2 ** (exponentA! % 24);
    if (i + 1 < elements) out[i + 1] = (b! / 2 ** 31 - 1) * 2 ** (exponentB! % 24);
  }
  return out;
}

/** The left half plus the right half of the smallest power of two of places, of which the last may be empty. */
function plainSum(vectors: readonly Float32Array[]): Float32Array {
  const sum = (first: number, size: number): Float32Array | undefined => {
    if (size === 1) return vectors[first];
    const left = sum(first, size / 2);
    const right = sum(first + size / 2, size / 2);
    return left && right ? left.map((value, i) => Math.fround(value + right[i]!)) : left;
  };
  return sum(0, 2 ** Math.ceil(Math.log2(vectors.length)))!;
}

function membersOf(shards: number, cuts: readonly number[]): Member[] {
  const starts = [0, ...new Set(cuts.map((cut) => 1 + (cut % shards)).filter((cut) => cut < shards))].sort(
    (a, b) => a - b,
  );
  return starts.map((shardFirst, rank) => ({
    workerId: `w${rank}`,
    shardFirst,
    shardCount: (starts[rank + 1] ?? shards) - shardFirst,
  }));
}

test('a sum that is made chunk by chunk has the bits of the plain sum of whole vectors', () => {
  let chunksMost = 0;
  fc.assert(
    fc.property(
      fc.record({
        shards: fc.integer({ min: 1, max: SHARDS_MAX }),
        cuts: fc.array(fc.nat(255), { maxLength: 8 }),
        elements: fc.integer({ min: 1, max: ELEMENTS_MAX }),
        // Chunks are cut by bytes on the wire, so compression cuts elsewhere; what is summed here is float32 all the same.
        compression: fc.constantFrom<Compression>('none', 'bf16', 'int8'),
        seed: fc.nat(0xffff_ffff),
        backwards: fc.boolean(),
      }),
      ({ shards, cuts, elements, compression, seed, backwards }) => {
        const vectors = Array.from({ length: shards }, (_, shard) => noise(seed, shard, elements));
        floats.fill(0);
        vectors.forEach((vector, shard) => {
          floats.set(vector, areaOf(shard));
        });
        const { nodes, chunks } = planOf({ members: membersOf(shards, cuts), shards, elements, compression });
        const all = chunks.flat();
        if (backwards) all.reverse();
        chunksMost = Math.max(chunksMost, all.length);
        for (const { offset, count } of all) {
          const padded = Math.ceil(count / 256) * 256;
          const at = (area: number): number => (areaOf(area) + offset) * 4;
          const leaves = nodes.flat().map(
            (node): Leaf => ({
              node,
              encoding: 'none',
              at: sumInPlace({ kernels, node, addressOf: at, count: padded }),
            }),
          );
          sumRoot({
            kernels,
            leaves,
            shards,
            count: padded,
            into: at(SHARDS_MAX),
            scratch: (depth) => areaOf(SHARDS_MAX + 1 + depth) * 4,
          });
        }
        const sum = floats.slice(areaOf(SHARDS_MAX), areaOf(SHARDS_MAX) + elements);
        assert.deepEqual(new Uint32Array(sum.buffer), new Uint32Array(plainSum(vectors).buffer));
      },
    ),
    { numRuns: 60 },
  );
  assert.ok(chunksMost > 1, 'some vectors were cut');
});
