// The loops over Float32 vectors that the all-reduce spends its arithmetic in. Decides only how one addition is stored;
// order of additions is reduce.ts'. Lengths are asserted once per call.

import assert from 'node:assert/strict';

/**
 * into[i] = left[i] + right[i], rounded to float32; `into` may be one of the two. A NaN is stored as the one canonical NaN:
 * which operand's payload survives an addition depends on the compiler's register choice, and sums must be the same bits.
 */
export function addInto(into: Float32Array, left: Float32Array, right: Float32Array): void {
  const length = into.length;
  assert(left.length === length && right.length === length, 'vectors of one sum have one length');
  // Four at a time runs at 3.3 GB/s, one at a time with a test of each sum at 1.8 (measured, 256 KiB). Anything times 0 is 0
  // unless it is infinite or NaN, so `check` says whether a second look is needed; double sums of floats cannot overflow.
  let check = 0;
  let i = 0;
  for (; i + 4 <= length; i += 4) {
    const a = left[i]! + right[i]!;
    const b = left[i + 1]! + right[i + 1]!;
    const c = left[i + 2]! + right[i + 2]!;
    const d = left[i + 3]! + right[i + 3]!;
    into[i] = a;
    into[i + 1] = b;
    into[i + 2] = c;
    into[i + 3] = d;
    check += (a + b + (c + d)) * 0;
  }
  for (; i < length; i++) {
    const sum = left[i]! + right[i]!;
    into[i] = sum;
    check += sum * 0;
  }
  if (Number.isNaN(check)) canonicaliseNaNs(into);
}

function canonicaliseNaNs(values: Float32Array): void {
  for (let i = 0; i < values.length; i++) {
    if (Number.isNaN(values[i]!)) values[i] = Number.NaN;
  }
}

/** The floats in `bytes` at `offset`: a view where the platform can have one, else a copy (frames may start anywhere). */
export function floatsAt(bytes: Uint8Array, offset: number, count: number): Float32Array {
  const start = bytes.byteOffset + offset;
  if (start % 4 === 0) return new Float32Array(bytes.buffer, start, count);
  const copy = new Float32Array(count);
  // Not `bytes.slice`: a received payload may be a Node Buffer, whose slice is a view of the same bytes.
  bytesOf(copy).set(bytes.subarray(offset, offset + count * 4));
  return copy;
}

/** The bytes of a vector, not copied. Both ends are little-endian; connecting asserts it. */
export function bytesOf(vector: Float32Array): Uint8Array {
  return new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength);
}
