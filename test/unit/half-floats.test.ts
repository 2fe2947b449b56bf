import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  decodeHalves,
  encodeHalves,
  HALF_MAX,
  HALF_NORMAL_MIN,
  halfBits,
  halfToNumber,
} from '../../core/half-floats.ts';

const scratch = new DataView(new ArrayBuffer(4));
const floatOf = (bits: number): number => {
  scratch.setUint32(0, bits >>> 0);
  return scratch.getFloat32(0);
};

/** Widens by moving bits: the fraction of a number below the normal ones is shifted until it has its leading one. */
function widened(half: number): number {
  const sign = (half & 0x8000) << 16;
  let [exponent, fraction] = [(half >> 10) & 0x1f, (half & 0x3ff) << 13];
  if (exponent === 0) {
    if (fraction === 0) return floatOf(sign);
    exponent = 1;
    while ((fraction & 0x800000) === 0) {
      fraction <<= 1;
      exponent -= 1;
    }
    fraction &= 0x7fffff;
  } else if (exponent === 31) return floatOf(sign | 0x7f800000 | fraction);
  return floatOf(sign | ((exponent + 112) << 23) | fraction);
}

/** All numbers from 0 up to what would follow the largest, ascending: the place of each is its bits. */
const ascending = Array.from({ length: 0x7c00 }, (_, bits) => widened(bits)).concat(2 ** 16);

/** The nearest of all numbers, of two equally near ones that with even bits. Doubles hold all differences exactly. */
function nearest(value: number): number {
  const size = Math.abs(value);
  const sign = Object.is(Math.sign(value), -0) || value < 0 ? 0x8000 : 0;
  if (size >= 2 ** 16) return sign | 0x7c00;
  let [low, high] = [0, 0x7c00];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (ascending[middle]! <= size) low = middle;
    else high = middle;
  }
  const [below, above] = [size - ascending[low]!, ascending[high]! - size];
  return sign | (below < above || (below === above && low % 2 === 0) ? low : high);
}

test('each of the 65,536 numbers is what its bits say, and comes back from its value', () => {
  const bits = Uint16Array.from({ length: 65_536 }, (_, i) => i);
  const values = decodeHalves(new Uint8Array(bits.buffer));
  for (const half of bits) {
    assert.ok(Object.is(halfToNumber(half), widened(half)), `${half}`);
    assert.ok(Object.is(values[half], widened(half)), `${half}`);
    const isNan = (half & 0x7fff) > 0x7c00;
    assert.equal(halfBits(halfToNumber(half)) & 0x7fff, isNan ? 0x7e00 : half & 0x7fff, `${half}`);
    if (!isNan) assert.equal(halfBits(widened(half)), half);
  }
  const finite = bits.filter((half) => (half & 0x7c00) !== 0x7c00);
  assert.deepEqual(
    encodeHalves(Float32Array.from(finite, widened)),
    new Uint8Array(Uint16Array.from(finite).buffer),
  );
});

test('a number is rounded to the nearest, and to the even one of two: at each midpoint and beside it', () => {
  const beside = (value: number): number[] => {
    scratch.setFloat32(0, value);
    const bits = scratch.getUint32(0);
    return [bits - 1, bits, bits + 1].map(floatOf);
  };
  for (let half = 0; half < 0x7c00; half++) {
    const midpoint = (ascending[half]! + ascending[half + 1]!) / 2;
    assert.equal(Math.fround(midpoint), midpoint, 'a float32 has room for it');
    for (const value of beside(midpoint))
      for (const signed of [value, -value])
        assert.equal(halfBits(signed), nearest(signed), `${signed} beside ${half}`);
  }
});

test('any float32 is rounded as by the search for the nearest', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.float({ noNaN: true }),
        fc.float({ noNaN: true, min: Math.fround(-(2 ** -13)), max: Math.fround(2 ** -13) }),
        fc.float({ noNaN: true, min: -8, max: 8 }),
      ),
      (value) => halfBits(value) === nearest(value),
    ),
    { numRuns: 20_000 },
  );
  assert.equal(halfBits(floatOf(1)), 0, 'the smallest float32');
  assert.deepEqual([HALF_MAX, HALF_NORMAL_MIN], [widened(0x7bff), widened(0x400)]);
  assert.equal(halfBits(Number.NaN), 0x7e00);
  // What follows 65,504 at its spacing is 65,536, and halfway there is 65,520.
  assert.deepEqual([65_519.99609375, 65_520, -65_520].map(halfBits), [0x7bff, 0x7c00, 0xfc00]);
});
