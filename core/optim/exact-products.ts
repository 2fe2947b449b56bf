// Products of a float64 and float32 values in StableHLO modules that a compiler cannot round differently.
//
// What a compiler may do is to join a product and a sum (fused multiply-add), which leaves out the product's
// rounding to float64 and so changes the last bits. Here each product c v of a float64 c and a float32 v is written
// as h v + l v with c = h + l, where h has the upper 24 of the 53 bits of c and l the others. Both products are
// exact in float64, so the sum is c v rounded once, joined or not, and no other product is left to join.

import type { Ref } from '../tensor/lowering/literals.ts';
import type { ModuleText } from '../tensor/lowering/module-text.ts';

/** A factor of many values, in two parts whose products with a float32 are exact. */
export interface Factor {
  readonly upper: Ref;
  readonly lower: Ref;
}

/** Bits of a float64 below the upper 24 of its 53. */
const LOWER_BITS = 2 ** 29;

/** c v for each value, in float64 and rounded once. */
export function product(text: ModuleText, { upper, lower }: Factor, values: Ref): Ref {
  const wide = text.convert(values, 'f64');
  const times = (part: Ref) => text.binary('multiply', text.broadcast(part, values.shape), wide);
  return text.binary('add', times(upper), times(lower));
}

/** A number that is known now. */
export function constant(text: ModuleText, value: number): Factor {
  const bits = new DataView(new ArrayBuffer(8));
  bits.setFloat64(0, value);
  bits.setBigUint64(0, bits.getBigUint64(0) & BigInt.asUintN(64, BigInt(-LOWER_BITS)));
  const upper = bits.getFloat64(0);
  return { upper: text.splat(upper, 'f64'), lower: text.splat(value - upper, 'f64') };
}

/** A number that is an argument. */
export function split(text: ModuleText, value: Ref): Factor {
  const cast = (from: Ref, element: 'i64' | 'f64') =>
    text.generic({ op: 'bitcast_convert', operands: [from], attributes: {}, element, shape: [] });
  const masked = text.binary('and', cast(value, 'i64'), text.splat(-LOWER_BITS, 'i64'));
  const upper = cast(masked, 'f64');
  return { upper, lower: text.binary('subtract', value, upper) };
}
