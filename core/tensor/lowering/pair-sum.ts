// The sum of two vectors as a StableHLO module, for the canonical tree over shards: the bits of `add` of the exchange's
// kernels (core/allreduce/kernels/kernels.wat), which add the rest of the tree on the host, on every device.
//
// An addition has one rounding, so devices differ in two things only. Some take denormal numbers, below 2^-126, as zero
// and give zero for them (XLA's client for CPUs); and the bits of a NaN are the processor's choice. Here the sum of
// two small numbers is computed 2^100 times as large, where nothing is denormal, and every NaN is one. Scaling by a power
// of two rounds nothing, and a sum that is denormal is exact: it is a multiple of 2^-149, as both operands are.

import type { Ref } from './literals.ts';
import type { LoweredModule } from './lower.ts';
import { ModuleText } from './module-text.ts';
import { moduleText } from './whole-module.ts';

const SIGN_BIT = -(2 ** 31);
const MAGNITUDE_BITS = 2 ** 31 - 1;
/** Bits of 2^-126, the smallest number that is not denormal. */
const NORMAL_MIN_BITS = 0x0080_0000;
/**
 * Bits of 2^-60. Where an operand is as large, the sum is 0 or at least 2^-84, the distance of neighbouring numbers
 * there, and a denormal operand is too small to change it.
 */
const SMALL_BITS = 0x2180_0000;
const INFINITE_BITS = 0x7f80_0000;
const NAN_BITS = 0x7fc0_0000;
const SCALE = 2 ** 100;
const NORMAL_MIN = 2 ** -126;
/** The distance of neighbouring denormal numbers. */
const DENORMAL_UNIT = 2 ** -149;

/** Arguments: two vectors [words] of float32. Result: their sum, in the memory of the first. */
export function pairSumModule(words: number): LoweredModule {
  const text = new ModuleText();
  const shape = [words];
  const left: Ref = { name: '%arg0', element: 'f32', shape };
  const right: Ref = { name: '%arg1', element: 'f32', shape };
  const isSmall = text.binary('and', below(text, left, SMALL_BITS), below(text, right, SMALL_BITS));
  const plain = bits(text, text.binary('add', left, right));
  const scaled = text.binary('add', scaledUp(text, left), scaledUp(text, right));
  const sum = text.select(isSmall, scaledDown(text, scaled), plain);
  const isNan = text.compare('GT', magnitude(text, sum), all(text, INFINITE_BITS, shape));
  const output = number(text, text.select(isNan, all(text, NAN_BITS, shape), sum));
  return {
    text: moduleText({
      inputs: [left, right],
      outputs: [output],
      lines: text.lines,
      donated: new Map([[0, 0]]),
    }),
    inputs: [left, right].map(({ element }) => ({ element, shape })),
    outputs: [{ element: output.element, shape }],
  };
}

/** 2^100 times a number that is small. */
function scaledUp(text: ModuleText, value: Ref): Ref {
  const units = text.convert(magnitude(text, value), 'f32');
  const ofDenormal = text.binary('multiply', units, text.splat(SCALE * DENORMAL_UNIT, 'f32', value.shape));
  const ofNormal = text.binary('multiply', number(text, magnitude(text, value)), scale(text, value));
  const scaled = text.select(below(text, value, NORMAL_MIN_BITS), ofDenormal, ofNormal);
  return number(text, text.binary('or', bits(text, scaled), sign(text, value)));
}

/** The bits of a 2^100th of a sum of two such numbers. */
function scaledDown(text: ModuleText, scaled: Ref): Ref {
  const size = number(text, magnitude(text, scaled));
  const least = text.splat(SCALE * NORMAL_MIN, 'f32', scaled.shape);
  const units = text.binary('multiply', size, text.splat(1 / (SCALE * DENORMAL_UNIT), 'f32', scaled.shape));
  const ofNormal = text.binary('multiply', size, text.splat(1 / SCALE, 'f32', scaled.shape));
  // Beside a denormal result the other branch has any bits, and the number of units does not fit into 32 bits.
  const isDenormal = text.compare('LT', size, least);
  const whole = text.convert(text.select(isDenormal, units, least), 'i32');
  return text.binary('or', text.select(isDenormal, whole, bits(text, ofNormal)), sign(text, scaled));
}

const scale = (text: ModuleText, { shape }: Ref): Ref => text.splat(SCALE, 'f32', shape);

const all = (text: ModuleText, value: number, shape: readonly number[]): Ref =>
  text.splat(value, 'i32', shape);

/** Whether the magnitude is below the number of these bits. */
const below = (text: ModuleText, value: Ref, limit: number): Ref =>
  text.compare('LT', magnitude(text, value), all(text, limit, value.shape));

/** The bits without the sign. */
const magnitude = (text: ModuleText, value: Ref): Ref =>
  text.binary('and', bits(text, value), all(text, MAGNITUDE_BITS, value.shape));

const sign = (text: ModuleText, value: Ref): Ref =>
  text.binary('and', bits(text, value), all(text, SIGN_BIT, value.shape));

const bits = (text: ModuleText, value: Ref): Ref => cast(text, value, 'i32');
const number = (text: ModuleText, value: Ref): Ref => cast(text, value, 'f32');

function cast(text: ModuleText, value: Ref, element: 'i32' | 'f32'): Ref {
  if (value.element === element) return value;
  const { shape } = value;
  return text.generic({ op: 'bitcast_convert', operands: [value], attributes: {}, element, shape });
}
