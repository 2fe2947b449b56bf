// The canonical sum against a dumb second one: a recursive function over all shards, with an addition of its own.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createKernels, createSharedMemory } from '../../../core/allreduce/kernels/create-kernels.ts';
import { CARRIED_ONE } from '../../../core/allreduce/kernels/kernels.ts';
import {
  type Compression,
  type Member,
  type Node,
  nodesInside,
  planOf,
  rootOf,
  slicesOf,
} from '../../../core/allreduce/plan.ts';
import { type Leaf, sumInPlace, sumRoot } from '../../../core/allreduce/reduce.ts';
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

/** Elements of a region below; vectors of the properties are shorter. */
const REGION = 256;
const REGIONS = 64;
const memory = createSharedMemory(REGIONS * REGION * 4);
const kernels = createKernels(memory);
const floats = new Float32Array(memory.buffer);
const addressOf = (region: number): number => region * REGION * 4;

/** What members do: each sums its nodes in place, then the nodes are completed to the root. */
function sumWith(vectors: readonly Float32Array[], members: readonly Member[]): Float32Array {
  const shards = vectors.length;
  const length = vectors[0]!.length;
  floats.fill(0);
  vectors.forEach((vector, shard) => {
    floats.set(vector, shard * REGION);
  });
  const { nodes } = planOf({ members, shards, elements: length });
  const leaves = nodes.flat().map((node): Leaf => {
    const at = sumInPlace({ kernels, node, addressOf, count: REGION });
    return { node, encoding: 'none', at };
  });
  sumRoot({
    kernels,
    leaves,
    shards,
    count: REGION,
    into: addressOf(REGIONS - 1),
    scratch: (depth) => addressOf(REGIONS - 2 - depth),
  });
  return floats.slice((REGIONS - 1) * REGION, (REGIONS - 1) * REGION + length);
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
      assertSameBits(sumWith(vectors, membersOf(shards, cuts)), dumbSum(vectors));
    }),
    { numRuns: 500 },
  );
});

test('nodes that were added up before are not added again, and the sum has the same bits', () => {
  fc.assert(
    fc.property(
      fc.array(anyFloat, { minLength: 16, maxLength: 16 }),
      fc.array(fc.boolean(), { minLength: 15, maxLength: 15 }),
      (values, isSummed) => {
        const vectors = values.map((value) => Float32Array.of(value));
        const summed: Node[] = [];
        floats.fill(0);
        // Any nodes of the tree that do not lie in each other.
        const place = (node: Node, at: number): void => {
          const { first, size } = node;
          if (size > 1 && isSummed[at - 1]) {
            summed.push(node);
            floats[first * REGION] = dumbSum(vectors, first, size)[0]!;
          } else if (size === 1) floats[first * REGION] = vectors[first]![0]!;
          else
            for (const half of [0, 1])
              place({ first: first + (half * size) / 2, size: size / 2 }, 2 * at + half);
        };
        const node = { first: 0, size: 16 };
        place(node, 1);
        const at = sumInPlace({ kernels, node, summed, addressOf, count: REGION });
        assertSameBits(floats.slice(at / 4, at / 4 + 1), dumbSum(vectors));
      },
    ),
    { numRuns: 500 },
  );
});

test('two placements give the same bits even for NaNs with payloads', () => {
  fc.assert(
    fc.property(shardsAndPlacement, ({ vectors, cuts }) => {
      const shards = vectors.length;
      const bitsWith = (members: readonly Member[]): Uint32Array =>
        new Uint32Array(sumWith(vectors, members).buffer);
      assert.deepEqual(bitsWith(membersOf(shards, cuts)), bitsWith(membersOf(shards, [])));
    }),
    { numRuns: 300 },
  );
});

test('a large range has the bits of the dumb sum, whatever travels encoded', () => {
  // More than a message has.
  const count = 2 ** 18 + 3 * REGION;
  const shards = 5;
  const large = createSharedMemory(24 * count * 4);
  const wide = createKernels(large);
  const values = new Float32Array(large.buffer);
  const at = (place: number) => place * count * 4;
  const encodings = ['none', 'bf16', 'int8', 'int8', 'none'] as const;
  const [zeros, residual, into] = [at(20), at(21), at(22)];
  const leaves = encodings.map((encoding, shard): Leaf => {
    values.set(
      Float32Array.from({ length: count }, (_, i) => Math.fround(Math.sin(i * (shard + 1)) * 10 ** (i % 5))),
      shard * count,
    );
    const to = encoding === 'none' ? at(shard) : at(shard + 8);
    if (encoding === 'bf16') wide.encodeBf16(to, at(shard), count);
    if (encoding === 'int8') wide.encodeInt8(to, at(shard), zeros, CARRIED_ONE, residual, 1, count);
    return { node: { first: shard, size: 1 }, encoding, at: to };
  });
  const decoded = leaves.map(({ encoding, at: from }) => {
    if (encoding === 'bf16') wide.decodeBf16(residual, from, count);
    else if (encoding === 'int8') wide.decodeInt8(residual, from, count);
    else wide.copy(residual, from, count * 4);
    return values.slice(residual / 4, residual / 4 + count);
  });
  const scratch = (depth: number) => at(14 + depth);
  sumRoot({ kernels: wide, leaves, shards, count, into, scratch });
  assertSameBits(values.slice(into / 4, into / 4 + count), dumbSum(decoded));
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

test('slices cover every element once, aligned, and belong to distinct shards whatever the placement', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 3_000_000 }),
      fc.integer({ min: 1, max: 256 }),
      fc.constantFrom<Compression>('none', 'int8'),
      (elements, shards, compression) => {
        const slices = slicesOf(elements, shards, compression);
        let next = 0;
        for (const { offset, count } of slices) {
          assert.equal(offset, next);
          // Exact slices begin with a page of memory, 1024 numbers, so that neighbours can map them.
          assert.ok(offset % (compression === 'none' ? 1024 : 256) === 0 || count === 0);
          next += count;
        }
        assert.equal(next, elements);
        assert.equal(new Set(slices.map(({ shard }) => shard)).size, slices.length);
        assert.ok(slices.every(({ shard }) => shard < shards));
        // A slice is worth a message, unless the vector itself is not.
        assert.ok(slices.length === 1 || slices[0]!.count >= 64 * 256);
      },
    ),
  );
});

test('chunks cover every slice once, in the hands of whoever holds its shard, within 1 MiB a message', () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.integer({ min: 0, max: 3_000_000 }), fc.integer({ min: 8_000_000, max: 20_000_000 })),
      fc.integer({ min: 1, max: 64 }),
      fc.constantFrom<Compression>('none', 'bf16', 'int8'),
      (elements, ranks, compression) => {
        const members = membersOf(
          ranks,
          Array.from({ length: ranks - 1 }, (_, i) => i + 1),
        );
        const plan = planOf({ members, shards: ranks, elements, compression });
        const slices = slicesOf(elements, ranks, compression).filter(({ count }) => count > 0);
        const ends = slices.map((slice) => {
          const parts = plan.chunks.flat().filter(({ shard }) => shard === slice.shard);
          let next = slice.offset;
          for (const { offset, count } of parts) {
            assert.equal(offset, next);
            assert.equal(offset % 256, 0);
            assert.ok(count > 0 && 64 + count * { none: 4, bf16: 2, int8: 1.02 }[compression] <= 1024 * 1024);
            next += count;
          }
          return next;
        });
        assert.deepEqual(
          ends,
          slices.map(({ offset, count }) => offset + count),
        );
        plan.chunks.forEach((chunks, rank) => {
          const { shardFirst, shardCount } = members[rank]!;
          for (const { shard } of chunks) assert.ok(shard >= shardFirst && shard < shardFirst + shardCount);
        });
        // What may be pending for one member: contributions and results of a window from every other.
        const bytes = { none: 4, bf16: 2, int8: 1 }[compression];
        const largest = Math.max(0, ...plan.chunks.flat().map(({ count }) => count * bytes));
        assert.ok(plan.window >= 2 || elements === 0 || ranks > 8 * 64);
        assert.ok(2 * (ranks - 1) * plan.window * largest <= 48 * 1024 * 1024);
      },
    ),
    { numRuns: 200 },
  );
});

test('with int8 two shards travel one by one, and more of them as their sum', () => {
  const members = membersOf(8, [2, 6]);
  const sizes = (compression: Compression) =>
    planOf({ members, shards: 8, elements: 1, compression }).nodes.map((nodes) =>
      nodes.map(({ size }) => size),
    );
  assert.deepEqual(sizes('none'), [[2], [2, 2], [2]]);
  assert.deepEqual(sizes('bf16'), [[2], [2, 2], [2]]);
  assert.deepEqual(sizes('int8'), [
    [1, 1],
    [1, 1, 1, 1],
    [1, 1],
  ]);
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
