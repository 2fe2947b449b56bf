// `npm run test:pjrt`, the sum of two vectors: the module on the CPU plugin has the bits of the exchange's kernel for any numbers, also
// where the device takes denormal ones as zero, and in the memory of its first argument.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createKernels, createSharedMemory } from '../../core/allreduce/kernels/create-kernels.ts';
import { pairSumModule } from '../../core/tensor/lowering/pair-sum.ts';
import { compileModule } from '../support/lowered.ts';
import { numbers } from '../support/tensors.ts';

/** A multiple of the kernel's block. */
const WORDS = 64 * 256;
const memory = createSharedMemory(3 * WORDS * 4);
const kernels = createKernels(memory);
const [a, b, sum] = [0, 1, 2].map((i) => new Float32Array(memory.buffer, i * WORDS * 4, WORDS)) as [
  Float32Array,
  Float32Array,
  Float32Array,
];
const bits = (values: Float32Array) => new Uint32Array(values.buffer, values.byteOffset, values.length);

/** Where a sum may go wrong: ends of the denormal numbers and of the small ones, zeros, infinities and NaNs. */
const EDGES = [
  ...[0, 1, 2, 3, 0x007f_ffff, 0x0080_0000, 0x0080_0001, 0x00c0_0000, 0x0100_0000, 0x0b00_0000],
  ...[0x217f_ffff, 0x2180_0000, 0x2180_0001, 0x3f80_0000, 0x7f7f_ffff, 0x7f80_0000, 0x7f80_0001, 0x7fc1_2345],
].flatMap((magnitude) => [magnitude, (magnitude | 0x8000_0000) >>> 0]);

test('the bits of the kernel: any numbers, numbers near each other, denormal ones, and all pairs of edges', () => {
  const module = compileModule(pairSumModule(WORDS), 'the sum of two vectors');
  assert.equal(module.aliased, WORDS * 4);
  const anyBits = (seed: number) => numbers(WORDS, seed).map((value) => Math.abs(value) * 2 ** 32);
  /** Exponents of two numbers of a pair that differ by less than the bits of a mantissa, down to the smallest. */
  const near = (seed: number, exponents: number) =>
    numbers(WORDS, seed).map((value, i) => value * 2 ** ((i % exponents) - 150));
  const cases: [string, () => void][] = [
    [
      'any bits',
      () => {
        bits(a).set(Uint32Array.from(anyBits(1)));
        bits(b).set(Uint32Array.from(anyBits(2)));
      },
    ],
    [
      'edges',
      () => {
        for (let i = 0; i < WORDS; i++) {
          bits(a)[i] = EDGES[i % EDGES.length]!;
          bits(b)[i] = EDGES[Math.floor(i / EDGES.length) % EDGES.length]!;
        }
      },
    ],
  ];
  for (const exponents of [1, 24, 60, 120])
    cases.push([
      `within ${exponents} powers of two from 2^-150 on`,
      () => {
        a.set(near(exponents, exponents));
        b.set(near(exponents + 1000, exponents));
      },
    ]);
  for (const [title, fill] of cases) {
    fill();
    kernels.add(sum.byteOffset, a.byteOffset, b.byteOffset, WORDS);
    const [got] = module.run([a.slice(), b.slice()]) as [Float32Array];
    const wrong = bits(got).findIndex((word, i) => word !== bits(sum)[i]);
    const hex = (values: Float32Array) => bits(values)[wrong]?.toString(16);
    assert.equal(wrong, -1, `${title}: ${hex(a)} + ${hex(b)} gave ${hex(got)} and not ${hex(sum)}`);
  }
  // The cases have sums that a device without denormal numbers would lose.
  assert.ok(bits(sum).some((word) => (word & 0x7fff_ffff) > 0 && (word & 0x7fff_ffff) < 0x0080_0000));
  module.free();
});
