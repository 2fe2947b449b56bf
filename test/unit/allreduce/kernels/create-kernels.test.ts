// The assembled kernels against the same loops in JavaScript, bit for bit, and both against definitions written out here.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { createKernels, createSharedMemory } from '../../../../core/allreduce/kernels/create-kernels.ts';
import {
  BLOCK,
  CARRIED_ALL,
  CARRIED_ONE,
  INFINITE_BITS,
  type Kernels,
} from '../../../../core/allreduce/kernels/kernels.ts';
import { bf16BitsOf, blockRuleOf } from '../../../../core/allreduce/kernels/script.ts';
import { PACKAGE_ROOT } from '../../../../core/system/places.ts';
import { assembledModule } from '../../../support/kernels.ts';

/** Regions of one memory, far enough apart for `COUNT` elements each. */
const COUNT = 3 * BLOCK;
const REGION = COUNT * 4;
const [A, B, C, D, E, END] = [REGION, 2 * REGION, 3 * REGION, 4 * REGION, 5 * REGION, 6 * REGION];
const CANONICAL = 0x7fc0_0000;

interface Bench {
  readonly kernels: Kernels;
  readonly floats: Float32Array;
  readonly words: Uint32Array;
  readonly halves: Uint16Array;
  readonly signed: Int8Array;
}

function benchOf(kind: Kernels['kind']): Bench {
  const memory = createSharedMemory(END);
  const kernels = createKernels(memory, kind);
  assert.equal(
    kernels.kind,
    kind,
    'this machine has vectors, or the comparison would be of one thing with itself',
  );
  const { buffer } = memory;
  return {
    kernels,
    floats: new Float32Array(buffer),
    words: new Uint32Array(buffer),
    halves: new Uint16Array(buffer),
    signed: new Int8Array(buffer),
  };
}
const benches = [benchOf('wasm'), benchOf('script')] as const;

/** Any bits at all; subnormals, signed zeros, infinities, NaNs with payloads and ties of both roundings are frequent. */
const word = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 0, max: 0xffff_ffff }) },
  {
    weight: 2,
    arbitrary: fc
      .float({ min: -1, max: 1, noNaN: true })
      .map((value) => new Uint32Array(Float32Array.of(value).buffer)[0]!),
  },
  {
    weight: 2,
    // Upper half, then exactly half a unit, one less or one more: where rounding to nearest even decides.
    arbitrary: fc
      .tuple(fc.integer({ min: 0, max: 0xffff }), fc.constantFrom(0x7fff, 0x8000, 0x8001))
      .map(([high, low]) => high * 65_536 + low),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      ...[0, 0x8000_0000, 1, 0x8000_0001, 0x007f_ffff, 0x0080_0000, 0x03ff_ffff, 0x0400_0000],
      ...[
        0x7f7f_ffff,
        0xff7f_ffff,
        INFINITE_BITS,
        0xff80_0000,
        CANONICAL,
        0xffc0_0001,
        0x7f80_0001,
        0x7fff_ffff,
      ],
    ),
  },
);
/** Blocks of ordinary numbers too: one infinity in each would leave int8 untested. */
const finite = fc
  .tuple(fc.float({ noNaN: true, noDefaultInfinity: true }), fc.integer({ min: -120, max: 100 }))
  .map(
    ([value, exponent]) =>
      new Uint32Array(
        Float32Array.of(Math.sign(value) * 2 ** exponent * (1 + (Math.abs(value) % 1))).buffer,
      )[0]!,
  );
const vector = fc.oneof(
  fc.array(word, { minLength: COUNT, maxLength: COUNT }),
  fc.array(finite, { minLength: COUNT, maxLength: COUNT }),
  fc
    .tuple(
      fc.array(fc.float({ min: -1, max: 1, noNaN: true }), { minLength: COUNT, maxLength: COUNT }),
      fc.integer({ min: -149, max: 126 }),
    )
    .map(([values, exponent]) => [
      ...new Uint32Array(Float32Array.from(values, (v) => v * 2 ** exponent).buffer),
    ]),
);
const factor = fc.constantFrom(1, 0.5, 0.125, 1 / 256, 3);

function fill(words: Uint32Array, ...vectors: readonly (readonly number[])[]): void {
  words.fill(0xdead_beef);
  vectors.forEach((values, i) => {
    words.set(values, ((i + 1) * REGION) / 4);
  });
}

/** Runs the work in both and compares the whole memory, so that a stray store is seen too. */
function assertSame(vectors: readonly (readonly number[])[], work: (kernels: Kernels) => void): Bench {
  for (const { kernels, words } of benches) {
    fill(words, ...vectors);
    work(kernels);
  }
  const [wasm, script] = benches;
  const at = wasm.words.findIndex((value, i) => value !== script.words[i]);
  if (at >= 0)
    assert.fail(
      `byte ${at * 4}: wasm has ${wasm.words[at]!.toString(16)}, script ${script.words[at]!.toString(16)}`,
    );
  return wasm;
}

const runs = { numRuns: 150 };

test('wasm.ts is what kernels.wat gives', async () => {
  const committed = readFileSync(join(PACKAGE_ROOT, 'core/allreduce/kernels/wasm.ts'), 'utf8');
  assert.equal(committed, await assembledModule(), 'run `npm run generate:kernels` and commit');
});

test('add and scale are the float32 operations with one NaN, in place and out of place', () => {
  fc.assert(
    fc.property(vector, vector, factor, (left, right, f) => {
      const { floats, words } = assertSame([left, right], (kernels) => {
        kernels.add(C, A, B, COUNT);
        kernels.add(A, A, B, COUNT);
        kernels.scale(D, C, f, COUNT);
        kernels.scale(B, B, f, COUNT);
      });
      const [a, b] = [left, right].map((values) => new Float32Array(Uint32Array.from(values).buffer)) as [
        Float32Array,
        Float32Array,
      ];
      for (let i = 0; i < COUNT; i++) {
        const sum = Math.fround(a[i]! + b[i]!);
        assert.ok(Object.is(floats[C / 4 + i], sum), `${a[i]} + ${b[i]}`);
        assert.ok(Object.is(floats[D / 4 + i], Math.fround(sum * Math.fround(f))));
        if (Number.isNaN(sum)) assert.equal(words[C / 4 + i], CANONICAL);
        assert.equal(words[A / 4 + i], words[C / 4 + i]);
      }
    }),
    runs,
  );
});

test('adding is commutative to the bit', () => {
  fc.assert(
    fc.property(vector, vector, (left, right) => {
      const { words } = assertSame([left, right], (kernels) => {
        kernels.add(C, A, B, COUNT);
        kernels.add(D, B, A, COUNT);
      });
      assert.deepEqual(words.slice(C / 4, D / 4), words.slice(D / 4, E / 4));
    }),
    runs,
  );
});

test('bfloat16 is rounded to nearest even, keeps infinities and has one NaN', () => {
  fc.assert(
    fc.property(vector, vector, (values, accumulator) => {
      const { words, halves, floats } = assertSame([values, accumulator], (kernels) => {
        kernels.encodeBf16(C, A, COUNT);
        kernels.decodeBf16(A, C, COUNT);
        kernels.addBf16(D, B, C, COUNT);
        kernels.addBf16(B, B, C, COUNT);
      });
      const given = new Float32Array(Uint32Array.from(values).buffer);
      const added = new Float32Array(Uint32Array.from(accumulator).buffer);
      for (let i = 0; i < COUNT; i++) {
        assert.equal(halves[C / 2 + i], nearestBf16(given[i]!), `${given[i]}`);
        assert.equal(words[A / 4 + i], halves[C / 2 + i]! * 65_536);
        assert.ok(Object.is(floats[D / 4 + i], Math.fround(added[i]! + floats[A / 4 + i]!)));
        assert.equal(words[D / 4 + i], words[B / 4 + i]);
      }
    }),
    runs,
  );
});

/** By the definition: of the two neighbours the nearer, of two equally near the even one. */
function nearestBf16(value: number): number {
  if (Number.isNaN(value)) return 0x7fc0;
  const view = new DataView(new ArrayBuffer(4));
  view.setFloat32(0, value);
  const low = view.getUint16(0);
  const sign = low & 0x8000;
  const valueAt = (half: number): number => {
    // What would come after the largest finite number, for the purpose of distance.
    if ((half & 0x7fff) === 0x7f80) return 2 ** 128;
    view.setUint32(0, (half & 0x7fff) * 65_536);
    return view.getFloat32(0);
  };
  const magnitude = Math.abs(value);
  if (magnitude === Number.POSITIVE_INFINITY) return sign | 0x7f80;
  const below = magnitude - valueAt(low);
  const above = valueAt(low + 1) - magnitude;
  const up = above < below || (above === below && (low & 1) === 1);
  return sign | ((low & 0x7fff) + (up ? 1 : 0));
}

test('int8 keeps each element within half a step, and image plus residual is the element', () => {
  fc.assert(
    fc.property(vector, vector, factor, fc.boolean(), (values, carried, f, all) => {
      const { words, floats, signed } = assertSame([values, carried], (kernels) => {
        kernels.encodeInt8(C, A, B, all ? CARRIED_ALL : CARRIED_ONE, D, f, COUNT);
        kernels.decodeInt8(E, C, COUNT);
        kernels.addInt8(A, A, C, COUNT);
      });
      const given = floatsOf(values);
      const more = floatsOf(carried);
      const x = given.map((value, i) => value + more[all ? i : i % BLOCK]!);
      for (let i = 0; i < COUNT; i++) {
        const block = x.subarray(i - (i % BLOCK), i - (i % BLOCK) + BLOCK);
        const top = block.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
        const image = floats[E / 4 + i]!;
        const residual = floats[D / 4 + i]!;
        assert.ok(Object.is(floats[A / 4 + i], Math.fround(given[i]! + image)));
        if (!Number.isFinite(top)) {
          assert.equal(words[E / 4 + i], CANONICAL, 'the block is lost, and says so');
          assert.equal(residual, 0);
        } else if (top < 2 ** -119) {
          assert.equal(image, 0);
          assert.ok(Object.is(residual, x[i]));
        } else {
          const q = signed[C + Math.floor(i / BLOCK) * 260 + 4 + (i % BLOCK)]!;
          assert.ok(Math.abs(q) <= 127);
          const step = Math.fround(top / 127);
          assert.ok(Math.abs(residual) <= step * 0.50001, `${residual} of ${step}`);
          assert.equal(residual, Math.fround(x[i]! - Math.fround(q * step)));
          assert.equal(image, Math.fround(q * Math.fround(step * Math.fround(f))));
        }
      }
    }),
    runs,
  );
});

test('int8 may leave its residual in place of what it encoded, or of what was carried', () => {
  fc.assert(
    fc.property(vector, vector, (values, carried) => {
      const { words } = assertSame([values, carried, values], (kernels) => {
        kernels.encodeInt8(E, A, B, CARRIED_ALL, D, 1, COUNT);
        kernels.encodeInt8(E, C, B, CARRIED_ALL, C, 1, COUNT);
        kernels.encodeInt8(E, A, B, CARRIED_ALL, B, 1, COUNT);
      });
      const region = (at: number): Uint32Array => words.slice(at / 4, (at + REGION) / 4);
      assert.deepEqual(region(C), region(D));
      assert.deepEqual(region(B), region(D));
    }),
    runs,
  );
});

const floatsOf = (words: readonly number[]): Float32Array => new Float32Array(Uint32Array.from(words).buffer);

test('the largest absolute bits tell whether everything is finite', () => {
  fc.assert(
    fc.property(vector, (values) => {
      const { kernels } = assertSame([values], () => {});
      const expected = Math.max(...values.map((bits) => bits & 0x7fff_ffff));
      for (const bench of benches) assert.equal(bench.kernels.largest(A, COUNT), expected);
      const given = new Float32Array(Uint32Array.from(values).buffer);
      assert.equal(kernels.largest(A, COUNT) < INFINITE_BITS, given.every(Number.isFinite));
    }),
    runs,
  );
});

test('a fingerprint is the same in both, counts every byte and its place, and takes any number of words', () => {
  const values = Array.from({ length: COUNT }, (_, i) => Math.imul(i + 1, 0x9e37_79b1) >>> 0);
  for (const bytes of [0, 4, 12, 16, 60, 64, 260, REGION]) {
    const seen = new Set<bigint>();
    const look = () => {
      const [wasm, script] = benches.map(({ kernels }) => kernels.fingerprint(A, bytes));
      assert.equal(wasm, script);
      seen.add(wasm!);
    };
    for (const { words } of benches) fill(words, values);
    look();
    for (let byte = 0; byte < bytes; byte += 7) {
      for (const { words } of benches) words[A / 4 + (byte >>> 2)]! ^= 1 << (8 * (byte & 3));
      look();
      for (const { words } of benches) words[A / 4 + (byte >>> 2)]! ^= 1 << (8 * (byte & 3));
    }
    assert.equal(seen.size, 1 + Math.ceil(bytes / 7));
    if (bytes < 8) continue;
    // Two words that change places.
    for (const { words } of benches) words.set([values[1]!, values[0]!], A / 4);
    look();
    assert.equal(seen.size, 2 + Math.ceil(bytes / 7));
  }
});

test('a copy moves the bytes and no others', () => {
  const values = Array.from({ length: COUNT }, (_, i) => Math.imul(i, 0x9e37_79b1) >>> 0);
  const { words } = assertSame([values], (kernels) => kernels.copy(C, A, REGION - 4));
  assert.deepEqual([...words.subarray(C / 4, D / 4 - 1)], values.slice(0, -1));
  assert.equal(words[D / 4 - 1], 0xdead_beef);
});

test('more memory than 32-bit addresses reach is refused with what to do', () => {
  assert.throws(() => createSharedMemory(2 ** 32), /needs 4096 MiB .* fewer shards/);
});

test('bfloat16 is the nearer of the two neighbours, the even one of a tie, and what was exact stays', () => {
  const floatOf = (bits: number): number => new Float32Array(Uint32Array.of(bits).buffer)[0]!;
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0x7f7e_ffff }), fc.boolean(), (positive, negative) => {
      const bits = (positive | (negative ? 0x8000_0000 : 0)) >>> 0;
      const below = bits >>> 16;
      const [lower, upper] = [floatOf((below << 16) >>> 0), floatOf(((below + 1) << 16) >>> 0)];
      const value = floatOf(bits);
      const [down, up] = [Math.abs(value - lower), Math.abs(upper - value)];
      const nearest = down < up ? below : up < down ? below + 1 : below + (below & 1);
      assert.equal(bf16BitsOf(bits), nearest);
    }),
  );
  assert.equal(bf16BitsOf(0x7f7f_ffff), 0x7f80, 'beyond the largest is infinity');
  assert.equal(bf16BitsOf(0x7f80_0001), 0x7fc0);
  assert.equal(bf16BitsOf(0xffff_ffff), 0x7fc0);
});

test('a block of int8 has a scale unless all of it is tiny or some of it is not finite', () => {
  assert.deepEqual([0, 0x03ff_ffff, 0x0400_0000, 0x7f7f_ffff, 0x7f80_0000, 0x7fff_ffff].map(blockRuleOf), [
    'keep',
    'keep',
    'scale',
    'scale',
    'lose',
    'lose',
  ]);
});
