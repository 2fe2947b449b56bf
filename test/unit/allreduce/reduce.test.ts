// The canonical sum against a dumb second one: a recursive function over all shards, with an addition of its own.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { addInto, bytesOf, floatsAt } from '../../../core/allreduce/kernels.ts';
import { type Member, nodesInside, planOf, rootOf, slicesOf } from '../../../core/allreduce/plan.ts';
import { type Scratch, sumSubtree, sumTree } from '../../../core/allreduce/reduce.ts';
import { FleetError } from '../../../core/errors.ts';

/** Everything at once: what no tree nor slice may depend on. */
function dumbSum(
  vectors: readonly Float32Array[],
  first = 0,
  size = rootOf(vectors.length).size,
): Float32Array {
  if (size === 1) return vectors[first]!;
  const left = dumbSum(vectors, first, size / 2);
  if (first + size / 2 >= vectors.length) return left;
  const right = dumbSum(vectors, first + size / 2, size / 2);
  return left.map((value, i) => Math.fround(value + right[i]!));
}

/** Any float32 bits at all: subnormals, -0, infinities and NaNs with payloads are as likely as the rest. */
const anyFloat = fc.oneof(
  fc.float(),
  fc
    .integer({ min: 0, max: 0xffff_ffff })
    .map((bits) => new Float32Array(new Uint32Array([bits]).buffer)[0]!),
  fc.constantFrom(0, -0, 1e-45, -1e-45, 1.17e-38, 3.4e38, -3.4e38, Infinity, -Infinity, Number.NaN),
);

const shardsAndPlacement = fc.integer({ min: 1, max: 16 }).chain((shards) =>
  fc.record({
    vectors: fc.integer({ min: 1, max: 12 }).chain((length) =>
      fc.array(
        fc.array(anyFloat, { minLength: length, maxLength: length }).map((v) => Float32Array.from(v)),
        { minLength: shards, maxLength: shards },
      ),
    ),
    cuts: fc.uniqueArray(fc.integer({ min: 1, max: Math.max(1, shards - 1) }), { maxLength: shards - 1 }),
  }),
);

function membersOf(shards: number, cuts: readonly number[]): Member[] {
  const starts = [0, ...cuts.filter((cut) => cut < shards).sort((a, b) => a - b)];
  return starts.map((shardFirst, rank) => ({
    workerId: `w${rank}`,
    shardFirst,
    shardCount: (starts[rank + 1] ?? shards) - shardFirst,
  }));
}

/** What members do: each sums its nodes, chunk by chunk, then the nodes are completed to the root. */
function sumWith(
  vectors: readonly Float32Array[],
  members: readonly Member[],
  chunkSizes: readonly number[],
): Float32Array {
  const shards = vectors.length;
  const sum = new Float32Array(vectors[0]!.length);
  const byShard = new Map(vectors.map((vector, shard) => [shard, vector]));
  const { nodes } = planOf({ members, shards, elements: sum.length });
  const scratch: Scratch = [];
  for (let offset = 0, i = 0; offset < sum.length; i++) {
    const range = { offset, count: Math.min(chunkSizes[i % chunkSizes.length]!, sum.length - offset) };
    const partials = nodes.flat().map((node) => {
      const values = new Float32Array(range.count);
      sumSubtree({ vectors: byShard, node, range, into: values, scratch });
      return { node, values };
    });
    sumTree({ partials, shards, into: sum.subarray(offset, offset + range.count), scratch });
    offset += range.count;
  }
  return sum;
}

/** Equal bits; all NaNs count as equal here because the dumb sum does not choose one. */
function assertSameBits(actual: Float32Array, expected: Float32Array): void {
  const canonical = (values: Float32Array): Uint32Array =>
    new Uint32Array(values.map((value) => (Number.isNaN(value) ? Number.NaN : value)).buffer);
  assert.deepEqual(canonical(actual), canonical(expected));
}

test('every placement sums to the bits of the dumb sum over all shards', () => {
  fc.assert(
    fc.property(shardsAndPlacement, ({ vectors, cuts }) => {
      const shards = vectors.length;
      const elements = vectors[0]!.length;
      const before = vectors.map((vector) => Uint8Array.from(bytesOf(vector)));
      const sum = sumWith(vectors, membersOf(shards, cuts), [1, 5, elements]);
      assertSameBits(sum, dumbSum(vectors));
      vectors.forEach((vector, shard) => {
        assert.deepEqual(Uint8Array.from(bytesOf(vector)), before[shard], 'inputs stay as they are');
      });
    }),
    { numRuns: 500 },
  );
});

test('two placements give the same bits even for NaNs with payloads', () => {
  fc.assert(
    fc.property(shardsAndPlacement, ({ vectors, cuts }) => {
      const shards = vectors.length;
      const bitsWith = (members: readonly Member[]): Uint32Array =>
        new Uint32Array(sumWith(vectors, members, [4]).buffer);
      assert.deepEqual(bitsWith(membersOf(shards, cuts)), bitsWith(membersOf(shards, [])));
    }),
    { numRuns: 300 },
  );
});

test('an addition of two NaNs is the canonical NaN', () => {
  const left = new Float32Array(new Uint32Array([0x7fc0_0001, 0xffc0_0002, 0x3f80_0000]).buffer);
  const right = new Float32Array(new Uint32Array([0x7fc0_0003, 0x3f80_0000, 0x7fc0_0004]).buffer);
  addInto(left, left, right);
  assert.deepEqual([...new Uint32Array(left.buffer)], [0x7fc0_0000, 0x7fc0_0000, 0x7fc0_0000]);
});

test('the largest nodes inside a block cover it once and cannot be joined', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 64 }), fc.integer({ min: 1, max: 64 }), (first, count) => {
      const nodes = nodesInside(first, first + count);
      const covered = nodes.flatMap((node) => Array.from({ length: node.size }, (_, i) => node.first + i));
      assert.deepEqual(
        covered,
        Array.from({ length: count }, (_, i) => first + i),
      );
      for (const { first: at, size } of nodes) {
        assert.equal(at % size, 0);
        const parent = at - (at % (size * 2));
        assert.ok(parent < first || parent + size * 2 > first + count, 'the parent reaches outside');
      }
    }),
  );
});

test('slices and chunks cover every element once, aligned, within 256 KiB a message', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 3_000_000 }),
      fc.integer({ min: 1, max: 64 }),
      (elements, ranks) => {
        const members = membersOf(
          ranks,
          Array.from({ length: ranks - 1 }, (_, i) => i + 1),
        );
        const plan = planOf({ members, shards: ranks, elements });
        let next = 0;
        plan.chunks.forEach((chunks, rank) => {
          const slice = slicesOf(elements, ranks)[rank]!;
          assert.equal(
            chunks.reduce((sum, { count }) => sum + count, 0),
            slice.count,
          );
          for (const { offset, count } of chunks) {
            assert.equal(offset, next);
            assert.equal(offset % 256, 0);
            assert.ok(count > 0 && 64 + count * 4 <= 256 * 1024);
            next += count;
          }
        });
        assert.equal(next, elements);
        // What may be pending for one member: contributions and results of a window from every other.
        const largest = Math.max(0, ...plan.chunks.flat().map(({ count }) => count * 4));
        assert.ok(plan.window >= 1);
        assert.ok(plan.window === 1 || 2 * (ranks - 1) * plan.window * largest <= 24 * 1024 * 1024);
      },
    ),
    { numRuns: 200 },
  );
});

test('members that leave a shard out or hold it twice are refused with its number', () => {
  const member = (shardFirst: number, shardCount: number): Member => ({
    workerId: 'w',
    shardFirst,
    shardCount,
  });
  const refused = (members: Member[], pattern: RegExp): void =>
    assert.throws(
      () => planOf({ members, shards: 4, elements: 1 }),
      (error) =>
        error instanceof FleetError && error.code === 'invalidArgument' && pattern.test(error.message),
    );
  refused([member(0, 2), member(3, 1)], /shards \[3, 4\).*from 2 on/);
  refused([member(0, 2), member(1, 3)], /shards \[1, 4\).*from 2 on/);
  refused([member(0, 2), member(2, 1)], /hold shards 0\.\.2, expected 0\.\.3/);
  refused([member(0, 4), member(4, 0)], /expected at least one/);
});

test('floats are read from any alignment, also out of a Node Buffer', () => {
  const bytes = Buffer.alloc(64);
  for (let shift = 0; shift < 8; shift++) {
    const values = Float32Array.of(1.5, -2.25, 1e-40);
    bytes.set(bytesOf(values), shift);
    assert.deepEqual(floatsAt(bytes, shift, 3), values);
    assert.deepEqual(floatsAt(bytes.subarray(shift), 0, 3), values);
  }
});
