// The digest by which members of a gang compare their weights in each step. Decides the function: a sum over all
// words, so that a device with thousands of lanes computes it in whatever order it likes, with the same bits as one
// loop on a host (core/optim/digest-module.ts). What is stored is named by another one (digest.ts).
//
// Word i, the 32 bits of value i, is joined with i and mixed by the finaliser of MurmurHash3 (Appleby 2011; without
// its last shift) to h_i; the digest is the sum of h_i and the sum of h_i^2, both modulo 2^32, finished with the
// number of words. The mixing is a bijection, so one changed word, whichever bits of it, always changes the digest. Of
// two vectors that differ in many words one pair in about 2^64 has the same one; where they differ in two words, by
// the same bit of both, one in 2^28. It has no key: it finds accidents, not forgeries. A difference that one step does
// not show stays in the weights, and the next step has another digest of it.

const PLACE = 0x9e3779b1;
const FIRST = 0x85ebca6b;
const SECOND = 0xc2b2ae35;

/** What the mixing multiplies by, as signed 32-bit integers: the place, then each round, with the shift before it. */
export const MIXING = {
  place: PLACE | 0,
  rounds: [
    { shift: 16, factor: FIRST | 0 },
    { shift: 13, factor: SECOND | 0 },
  ],
} as const;

/** Digest of the exact bits (-0 differs from 0, each NaN from every other), 16 hex digits. */
export function stepDigest(values: Float32Array): string {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  let sum = 0;
  let squares = 0;
  let place = 0;
  for (let i = 0; i < words.length; i++) {
    let h = words[i]! ^ place;
    h = Math.imul(h ^ (h >>> 16), FIRST);
    h = Math.imul(h ^ (h >>> 13), SECOND);
    sum = (sum + h) | 0;
    squares = (squares + Math.imul(h, h)) | 0;
    place = (place + PLACE) | 0;
  }
  return stepDigestOf({ sum, squares, words: words.length });
}

/** The same from the two sums, 32 bits each, and the number of words. */
export function stepDigestOf(of: {
  readonly sum: number;
  readonly squares: number;
  readonly words: number;
}): string {
  const hex = (half: number) => (half >>> 0).toString(16).padStart(8, '0');
  return hex(Math.imul(of.sum ^ of.words, FIRST)) + hex(Math.imul(of.squares + of.words, SECOND));
}
