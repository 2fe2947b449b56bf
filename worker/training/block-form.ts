// The numbers of which a block of teacher embeddings consists. Decides which are rounded and how a block becomes bytes and
// is read again. Whoever computes a block rounds it before use, so that it has the same numbers for whoever takes
// those bytes.
//
// float16 has 11 bits of mantissa between 2^-14 and 65,504. The embeddings of one image are compared by direction alone,
// and whoever trained the teacher chose their scale. A block is rounded only where that moves no embedding by more than
// 2^-11 of the largest of its row: where the largest of each row lies in that range, or all are 0. Any other block stays
// float32 as a whole, for everybody, since that follows from its values: a teacher's scale is no reason to fail a student.

import {
  decodeHalves,
  encodeHalves,
  HALF_BYTES,
  HALF_MAX,
  HALF_NORMAL_MIN,
  halfBits,
  halfToNumber,
} from '../../core/half-floats.ts';
import type { BlockForm } from '../../core/spec/distillation.ts';
import { excerpt } from '../../core/text/printable.ts';

/** Bytes of one number of a block. */
export const valueBytesOf = (form: BlockForm): number =>
  form === 'float16' ? HALF_BYTES : Float32Array.BYTES_PER_ELEMENT;

/** The block [b, E] as students use it. `width`: E. */
export function roundedBlock(values: Float32Array, width: number, form: BlockForm): Float32Array {
  if (form === 'float32' || !isInRange(values, width)) return values;
  return values.map((value) => halfToNumber(halfBits(value)));
}

/** Whether float16 has each row within 2^-11 of its largest value. */
function isInRange(values: Float32Array, width: number): boolean {
  for (let at = 0; at < values.length; at += width) {
    let largest = 0;
    for (let i = at; i < Math.min(at + width, values.length); i++) {
      const size = Math.abs(values[i]!);
      // NaN is neither.
      if (!(size <= HALF_MAX)) return false;
      if (size > largest) largest = size;
    }
    if (largest !== 0 && largest < HALF_NORMAL_MIN) return false;
  }
  return true;
}

/** A block as it travels. */
export interface BlockBytes {
  readonly form: BlockForm;
  readonly bytes: Uint8Array;
}

/** The bytes of a block for a stream of this form; float16 only where every value is one. */
export function encodeBlock(values: Float32Array, form: BlockForm): BlockBytes {
  if (form === 'float16' && values.every((value) => Object.is(halfToNumber(halfBits(value)), value)))
    return { form, bytes: encodeHalves(values) };
  const bytes = new Uint8Array(values.byteLength);
  bytes.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  return { form: 'float32', bytes };
}

/**
 * The values of a block that has come in these bytes, `found` being its form as its sender names it; or why it is none, as
 * part of a sentence. A stream of float32 has no block of float16.
 */
export function decodeBlock(
  bytes: Uint8Array,
  found: string,
  expected: { readonly form: BlockForm; readonly length: number },
): Float32Array | string {
  if (found !== 'float32' && found !== expected.form) return `it is of ${excerpt(found)}`;
  const form = found === 'float16' ? found : 'float32';
  if (bytes.byteLength !== expected.length * valueBytesOf(form)) return `it has ${bytes.byteLength} bytes`;
  if (form === 'float16') return decodeHalves(bytes);
  // A copy that is aligned; a message lies anywhere in what the socket gave.
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
}
