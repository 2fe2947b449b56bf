// What kernels are: the loops over float32 vectors that the all-reduce spends its arithmetic in, and the constants that both
// implementations (kernels.wat in WebAssembly, script.ts in JavaScript) share.

/**
 * Addresses are in bytes, multiples of 4; counts are elements, multiples of BLOCK. A NaN is stored as the one canonical NaN.
 * What each operation does exactly, and the int8 format, is said in kernels.wat.
 */
export interface Kernels {
  readonly kind: 'wasm' | 'script';
  add(into: number, left: number, right: number, count: number): void;
  scale(into: number, from: number, factor: number, count: number): void;
  copy(into: number, from: number, bytes: number): void;
  /** Largest absolute bits; from INFINITE_BITS on something is not finite. */
  largest(from: number, count: number): number;
  encodeBf16(to: number, from: number, count: number): void;
  decodeBf16(into: number, from: number, count: number): void;
  addBf16(into: number, left: number, right: number, count: number): void;
  /**
   * Of `from` plus `carried`: with stride CARRIED_ALL a vector like it, with CARRIED_ONE one block for all. The residual takes what the
   * image leaves; the image that others decode is scaled by `factor`.
   */
  encodeInt8(
    to: number,
    from: number,
    carried: number,
    stride: number,
    residual: number,
    factor: number,
    count: number,
  ): void;
  decodeInt8(into: number, from: number, count: number): void;
  addInt8(into: number, left: number, right: number, count: number): void;
}

/** Elements in which counts come, and which share a scale in int8. */
export const BLOCK = 256;

export const INFINITE_BITS = 0x7f80_0000;

export const CARRIED_ALL = BLOCK * 4;

export const CARRIED_ONE = 0;
