// Digests: a fast 64-bit one by which stored and reported weights are compared, and SHA-256, which names stored
// bytes. Decides how bytes become a name. What members of a gang compare in each step is step-digest.ts'.
//
// The 64-bit digest reads the data as 32-bit words. Each word enters two different 32-bit hashes (rounds in
// the manner of xxHash32: multiply, add, rotate, multiply; two sets of constants), so that 64 bits of state
// depend on it; even and odd words have a pair of their own, because that lets the processor work on two
// words at once. The finish mixes the length and the other stripe in and spreads every bit. It has no key: it
// finds accidents, not forgeries.

import { hash as oneShot } from 'node:crypto';

const A1 = 0x9e3779b1;
const A2 = 0x85ebca77;
const B1 = 0xc2b2ae3d;
const B2 = 0x27d4eb2f;

/** 64-bit digest of the exact bits (-0 differs from 0, each NaN from every other), 16 hex digits. */
export function digest64(data: Float32Array): string {
  return hash(new Uint32Array(data.buffer, data.byteOffset, data.length));
}

/** Digest of several vectors as one, in order, each with its length. */
export const digest64Of = (vectors: readonly Float32Array[]): string => joinedDigest(vectors.map(digest64));

/** The same from the digests of the vectors. */
export function joinedDigest(digests: readonly string[]): string {
  const parts = digests.join('');
  const words = new Uint32Array(parts.length / 8);
  for (let i = 0; i < words.length; i++) words[i] = Number.parseInt(parts.slice(i * 8, i * 8 + 8), 16);
  return hash(words);
}

/** SHA-256, 64 hex digits. */
export function sha256Hex(bytes: Uint8Array | string): string {
  return oneShot('sha256', bytes, 'hex');
}

function hash(words: Uint32Array): string {
  const length = words.length;
  let evenA = 0x243f6a88;
  let evenB = 0x85a308d3;
  let oddA = 0x13198a2e;
  let oddB = 0x03707344;
  const pairs = length & ~1;
  for (let i = 0; i < pairs; i += 2) {
    const even = words[i]!;
    const odd = words[i + 1]!;
    evenA = (evenA + Math.imul(even, A2)) | 0;
    evenA = Math.imul((evenA << 13) | (evenA >>> 19), A1);
    oddA = (oddA + Math.imul(odd, A2)) | 0;
    oddA = Math.imul((oddA << 13) | (oddA >>> 19), A1);
    evenB = (evenB + Math.imul(even, B2)) | 0;
    evenB = Math.imul((evenB << 17) | (evenB >>> 15), B1);
    oddB = (oddB + Math.imul(odd, B2)) | 0;
    oddB = Math.imul((oddB << 17) | (oddB >>> 15), B1);
  }
  if (pairs < length) {
    evenA = Math.imul((evenA ^ words[pairs]!) | 0, A1);
    evenB = Math.imul((evenB ^ words[pairs]!) | 0, B1);
  }
  const high = spread(spread(evenA ^ length) ^ Math.imul(oddA, B2));
  const low = spread(spread(evenB + length) ^ Math.imul(oddB, A2));
  return high.toString(16).padStart(8, '0') + low.toString(16).padStart(8, '0');
}

/** A bijection in which each input bit changes about half of the output bits (the finish of xxHash32). */
function spread(value: number): number {
  let h = value;
  h = Math.imul(h ^ (h >>> 15), A2);
  h = Math.imul(h ^ (h >>> 13), B1);
  return (h ^ (h >>> 16)) >>> 0;
}
