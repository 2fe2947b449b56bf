// The same loops as kernels.wat in JavaScript: the reference that a test compares the assembled ones with bit
// for bit, and what runs where WebAssembly has no vectors. kernels.wat defines what each loop does.
//
// JavaScript computes with doubles. Rounding a double result to float32 gives the float32 result for one +,
// -, * or /, because 53 bits of fraction are more than twice 24 and 2 (Figueroa, "When is double rounding
// innocuous?", 1995). So every single operation is rounded, by Math.fround or by the store into a
// Float32Array, and never two at once.

import type { Kernels } from './kernels.ts';

const BLOCK = 256;
/** A float32 scale and as many bytes as a block has elements. */
const BLOCK_BYTES = 260;
const INFINITE = 0x7f80_0000;
/** Bits of 2^-119. */
const TINY = 0x0400_0000;
/** 1.5 * 2^23: from here on float32 has a spacing of 1. */
const MAGIC = 12_582_912;
const NAN_BITS = 0x7fc0_0000;
/** FNV-1a of 64 bits. */
const FNV_BASIS = BigInt.asIntN(64, 0xcbf29ce484222325n);
const FNV_PRIME = 0x100000001b3n;

/** The bfloat16 bits of a float32, rounded to the nearest, ties to even; one NaN for all. */
export function bf16BitsOf(bits: number): number {
  const isNan = (bits & 0x7fff_ffff) > INFINITE;
  return isNan ? 0x7fc0 : (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

/**
 * How a block of int8 is encoded, by the largest bits of its elements without their signs. keep: the image is
 * zero, and the numbers stay in the residual. lose: the image is NaN, and nothing stays. scale: the numbers
 * are scaled to -127..127.
 */
export function blockRuleOf(top: number): 'keep' | 'lose' | 'scale' {
  if (top >= INFINITE) return 'lose';
  return top < TINY ? 'keep' : 'scale';
}

export function scriptKernels(buffer: ArrayBufferLike): Kernels {
  const floats = new Float32Array(buffer);
  const words = new Uint32Array(buffer);
  const halves = new Uint16Array(buffer);
  const signed = new Int8Array(buffer);
  const bytes = new Uint8Array(buffer);
  const toFloat = new Float32Array(1);
  const toBits = new Uint32Array(toFloat.buffer);
  const floatOf = (bits: number): number => {
    toBits[0] = bits;
    return toFloat[0]!;
  };

  /** `floats[at] = value` alone would leave it to the engine which NaN is stored. */
  function store(at: number, value: number): void {
    if (Number.isNaN(value)) words[at] = NAN_BITS;
    else floats[at] = value;
  }

  function largest(from: number, count: number): number {
    let top = 0;
    for (let i = from >>> 2, end = i + count; i < end; i++) top = Math.max(top, words[i]! & 0x7fff_ffff);
    return top;
  }

  /** Places are in elements; `to` is in bytes. */
  function encodeBlock(to: number, from: number, carried: number, residual: number, factor: number): void {
    const x = new Float32Array(BLOCK);
    for (let i = 0; i < BLOCK; i++) x[i] = floats[from + i]! + floats[carried + i]!;
    const bits = new Uint32Array(x.buffer);
    const top = bits.reduce((most, word) => Math.max(most, word & 0x7fff_ffff), 0);
    const rule = blockRuleOf(top);
    if (rule !== 'scale') {
      words[to >>> 2] = rule === 'keep' ? 0 : NAN_BITS;
      bytes.fill(0, to + 4, to + BLOCK_BYTES);
      if (rule === 'keep') words.set(bits, residual);
      else words.fill(0, residual, residual + BLOCK);
      return;
    }
    const scale = Math.fround(floatOf(top) / 127);
    const inverse = Math.fround(127 / floatOf(top));
    floats[to >>> 2] = scale * Math.fround(factor);
    for (let i = 0; i < BLOCK; i++) {
      const q = Math.fround(Math.fround(x[i]! * inverse) + MAGIC) - MAGIC;
      signed[to + 4 + i] = q;
      floats[residual + i] = x[i]! - Math.fround(q * scale);
    }
  }

  return {
    kind: 'script',
    add(into, left, right, count) {
      for (let i = 0; i < count; i++)
        store((into >>> 2) + i, floats[(left >>> 2) + i]! + floats[(right >>> 2) + i]!);
    },
    scale(into, from, factor, count) {
      const rounded = Math.fround(factor);
      for (let i = 0; i < count; i++) store((into >>> 2) + i, floats[(from >>> 2) + i]! * rounded);
    },
    copy(into, from, count) {
      bytes.copyWithin(into, from, from + count);
    },
    largest,
    fingerprint(from, count) {
      const first = from >>> 2;
      const total = count >>> 2;
      const whole = total & ~3;
      const s = new Uint32Array(4);
      const t = new Uint32Array(4);
      for (let i = 0; i < whole; i++) {
        s[i & 3]! += words[first + i]!;
        t[i & 3]! += s[i & 3]!;
      }
      const rest = words.slice(first + whole, first + total);
      return [...s, ...t, ...rest].reduce(
        (hash, word) => BigInt.asIntN(64, (hash ^ BigInt(word)) * FNV_PRIME),
        FNV_BASIS,
      );
    },
    encodeBf16(to, from, count) {
      for (let i = 0; i < count; i++) halves[(to >>> 1) + i] = bf16BitsOf(words[(from >>> 2) + i]!);
    },
    decodeBf16(into, from, count) {
      for (let i = 0; i < count; i++) words[(into >>> 2) + i] = halves[(from >>> 1) + i]! << 16;
    },
    addBf16(into, left, right, count) {
      for (let i = 0; i < count; i++)
        store((into >>> 2) + i, floats[(left >>> 2) + i]! + floatOf(halves[(right >>> 1) + i]! << 16));
    },
    encodeInt8(to, from, carried, stride, residual, factor, count) {
      for (let block = 0; block < count / BLOCK; block++)
        encodeBlock(
          to + block * BLOCK_BYTES,
          (from >>> 2) + block * BLOCK,
          (carried + block * stride) >>> 2,
          (residual >>> 2) + block * BLOCK,
          factor,
        );
    },
    decodeInt8(into, from, count) {
      for (let i = 0; i < count; i++) {
        const block = from + Math.floor(i / BLOCK) * BLOCK_BYTES;
        store((into >>> 2) + i, Math.fround(signed[block + 4 + (i % BLOCK)]! * floats[block >>> 2]!));
      }
    },
    addInt8(into, left, right, count) {
      for (let i = 0; i < count; i++) {
        const block = right + Math.floor(i / BLOCK) * BLOCK_BYTES;
        const image = Math.fround(signed[block + 4 + (i % BLOCK)]! * floats[block >>> 2]!);
        store((into >>> 2) + i, floats[(left >>> 2) + i]! + image);
      }
    },
  };
}
