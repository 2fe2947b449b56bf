import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type Counter,
  integers,
  type Key,
  normals,
  permutationAt,
  philox,
  randomStream,
  uniforms,
} from '../../../core/rng.ts';

const hex = (words: Uint32Array) => [...words].map((w) => w.toString(16).padStart(8, '0')).join(' ');

test('philox4x32-10 gives the known answers of its authors', () => {
  const cases: [Key, Counter, string][] = [
    [[0, 0], [0, 0, 0, 0], '6627e8d5 e169c58d bc57ac4c 9b00dbd8'],
    [
      [0xffffffff, 0xffffffff],
      [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      '408f276d 41c83b0e a20bc7c6 6d5451fd',
    ],
    [
      [0xa4093822, 0x299f31d0],
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      'd16cfe09 94fdcceb 5001e420 24126ea1',
    ],
  ];
  for (const [key, counter, expected] of cases) assert.equal(hex(philox(key, counter)), expected);
});

test('philox agrees with a second implementation in BigInt', () => {
  const word = fc.nat(0xffffffff);
  fc.assert(
    fc.property(fc.tuple(word, word), fc.tuple(word, word, word, word), (key, counter) => {
      let [c0, c1, c2, c3] = counter.map(BigInt) as [bigint, bigint, bigint, bigint];
      let [k0, k1] = key.map(BigInt) as [bigint, bigint];
      for (let round = 0; round < 10; round++) {
        const a = 0xd2511f53n * c0;
        const b = 0xcd9e8d57n * c2;
        [c0, c1, c2, c3] = [(b >> 32n) ^ c1 ^ k0, b & 0xffffffffn, (a >> 32n) ^ c3 ^ k1, a & 0xffffffffn];
        k0 = (k0 + 0x9e3779b9n) & 0xffffffffn;
        k1 = (k1 + 0xbb67ae85n) & 0xffffffffn;
      }
      assert.deepEqual([...philox(key, counter)].map(BigInt), [c0, c1, c2, c3]);
    }),
  );
});

test('uniforms lie in [0, 1), have the moments of a uniform, and a longer request begins with the shorter one', () => {
  const long = uniforms(7, 'a', 20_001);
  assert.deepEqual(uniforms(7, 'a', 11), long.slice(0, 11));
  assert.ok(long.every((u) => u >= 0 && u < 1));
  const mean = long.reduce((a, b) => a + b) / long.length;
  const variance = long.reduce((a, u) => a + (u - mean) ** 2, 0) / long.length;
  // Standard error of the mean is sqrt(1/12/20001) = 0.002; five of them.
  assert.ok(Math.abs(mean - 0.5) < 0.01, `mean ${mean}`);
  assert.ok(Math.abs(variance - 1 / 12) < 0.004, `variance ${variance}`);
});

test('normals have mean 0, variance 1 and kurtosis 3', () => {
  const z = normals(3, 'b', 40_000);
  const moment = (power: number) => z.reduce((a, x) => a + x ** power, 0) / z.length;
  assert.ok(Math.abs(moment(1)) < 0.025);
  assert.ok(Math.abs(moment(2) - 1) < 0.035);
  assert.ok(Math.abs(moment(4) - 3) < 0.25);
  assert.deepEqual(normals(3, 'b', 9), z.slice(0, 9));
});

test('another seed or another stream name gives other numbers', () => {
  const base = uniforms(1, 'weights', 64);
  for (const other of [uniforms(2, 'weights', 64), uniforms(1, 'weightt', 64), normals(1, 'weights', 64)])
    assert.equal(base.filter((u, i) => u === other[i]).length, 0);
});

test('integers cover their range and nothing else', () => {
  const drawn = integers(1, 'c', 700, 7);
  assert.deepEqual([...new Set(drawn)].sort(), [0, 1, 2, 3, 4, 5, 6]);
});

test('a random stream depends on seed, purpose and place only', () => {
  const take = (seed: number, purpose: string, at: readonly [number, number]) => {
    const stream = randomStream({ seed, purpose, at });
    return [stream.uniform(), stream.normal(), stream.integer(1000), stream.uniform(5, 6)];
  };
  assert.deepEqual(take(1, 'face', [3, 4]), take(1, 'face', [3, 4]));
  for (const other of [take(2, 'face', [3, 4]), take(1, 'pose', [3, 4]), take(1, 'face', [4, 3])])
    assert.notDeepEqual(take(1, 'face', [3, 4]), other);
});

test('permutationAt is a bijection for every size, seed and epoch', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 3000 }),
      fc.nat(0xffffffff),
      fc.nat(10_000),
      (size, seed, epoch) => {
        const seen = new Uint8Array(size);
        for (let index = 0; index < size; index++) seen[permutationAt({ seed, epoch, size, index })]! += 1;
        assert.ok(seen.every((n) => n === 1));
      },
    ),
    { numRuns: 40 },
  );
});

test('permutationAt answers at once for sizes that nobody could materialise', () => {
  const size = 2 ** 40 + 12_345;
  const seen = new Set<number>();
  for (let i = 0; i < 2000; i++) seen.add(permutationAt({ seed: 1, epoch: 0, size, index: size - 1 - i }));
  assert.equal(seen.size, 2000);
  assert.ok([...seen].every((at) => at >= 0 && at < size));
});

test('permutations spread every index evenly over the places', () => {
  // 100 places, 4000 epochs: a cell expects 40 with a standard deviation of 6.3; the sum of squares is chi-square with about
  // 9,801 degrees of freedom, standard deviation 140.
  const size = 100;
  const counts = new Float64Array(size * size);
  for (let epoch = 0; epoch < 4000; epoch++)
    for (let index = 0; index < size; index++)
      counts[index * size + permutationAt({ seed: 5, epoch, size, index })]! += 1;
  const chiSquare = counts.reduce((sum, n) => sum + (n - 40) ** 2 / 40, 0);
  assert.ok(Math.abs(chiSquare - 9801) < 700, `chi-square ${chiSquare}`);
});

test('an index outside the permutation is refused', () => {
  assert.throws(() => permutationAt({ seed: 1, epoch: 0, size: 3, index: 3 }), RangeError);
});
