// Numbers of 16 bits: IEEE 754 binary16, with 1 sign bit, 5 bits of exponent with bias 15 and 10 of fraction. Decides how a
// number is rounded to one (to nearest, ties to even). Node 20 has no Float16Array.

/** The largest number of binary16. */
export const HALF_MAX = 65_504;
/** The smallest that has all bits of its fraction; numbers below it have a spacing of 2^-24. */
export const HALF_NORMAL_MIN = 2 ** -14;
/** Of the smallest number above 0. */
const SPACING_MIN = 2 ** -24;

export const HALF_BYTES = 2;

/** The number that 16 bits stand for. */
export function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * SPACING_MIN;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

const VALUE = new Float32Array(1);
const VALUE_BITS = new Uint32Array(VALUE.buffer);

/**
 * The bits of the nearest number, of two equally near ones that with an even fraction. From 65,520 on it is infinity, as
 * IEEE 754 has it; of NaN it is one NaN. `value` is taken as float32.
 */
export function halfBits(value: number): number {
  VALUE[0] = value;
  const bits = VALUE_BITS[0]!;
  const sign = (bits >>> 16) & 0x8000;
  const size = bits & 0x7fff_ffff;
  if (size > 0x7f80_0000) return sign | 0x7e00;
  // 65,520 is halfway between the largest number and the one that would follow it.
  if (size >= 0x477f_f000) return sign | 0x7c00;
  if (size < 0x3880_0000) return sign | nearestEven(Math.abs(VALUE[0]!) / SPACING_MIN);
  // 13 bits of the fraction go; a carry out of it raises the exponent, whose bias changes from 127 to 15.
  const rounded = size + 0xfff + ((size >>> 13) & 1);
  return sign | ((rounded - (112 << 23)) >>> 13);
}

/** Of a number from 0 to 1024. */
function nearestEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below;
}

/** 16 bits for each value, little-endian. */
export function encodeHalves(values: Float32Array): Uint8Array {
  const bytes = new Uint8Array(values.length * HALF_BYTES);
  const view = new DataView(bytes.buffer);
  for (const [i, value] of values.entries()) view.setUint16(i * HALF_BYTES, halfBits(value), true);
  return bytes;
}

/** What `encodeHalves` has made; the number of bytes is even. */
export function decodeHalves(bytes: Uint8Array): Float32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const values = new Float32Array(bytes.byteLength / HALF_BYTES);
  for (let i = 0; i < values.length; i++) values[i] = halfToNumber(view.getUint16(i * HALF_BYTES, true));
  return values;
}
