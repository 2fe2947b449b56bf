// What kernels are: the loops over float32 vectors that the all-reduce spends its arithmetic in, and the
// constants that both implementations (kernels.wat in WebAssembly, script.ts in JavaScript) share.

/**
 * Addresses are in bytes, multiples of 4; counts are in elements, multiples of BLOCK. A NaN is stored as the
 * one canonical NaN. kernels.wat defines what each operation does to the bit, and the int8 format.
 */
export interface Kernels {
  readonly kind: 'wasm' | 'script';
  /** into = left + right; `into` may be one of them. */
  add(into: number, left: number, right: number, count: number): void;
  /** into = from * factor; `into` may be `from`. */
  scale(into: number, from: number, factor: number, count: number): void;
  /** The two ranges do not overlap. */
  copy(into: number, from: number, bytes: number): void;
  /**
   * The largest of the elements' bits without their signs; from INFINITE_BITS on some element is not finite.
   */
  largest(from: number, count: number): number;
  /** 64 bits that differ when any byte does, for a multiple of 4 bytes: finds accidents, not forgeries. */
  fingerprint(from: number, bytes: number): bigint;
  encodeBf16(to: number, from: number, count: number): void;
  decodeBf16(into: number, from: number, count: number): void;
  addBf16(into: number, left: number, right: number, count: number): void;
  /**
   * Encodes `from` plus `carried`, and stores in `residual` what the image leaves of that sum. The image that
   * others decode is scaled by `factor`; the residual is of the image without it. `stride`: CARRIED_ALL or
   * CARRIED_ONE.
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

/** Bits of infinity; NaNs have more. */
export const INFINITE_BITS = 0x7f80_0000;

/** `carried` is a vector as long as `from`: bytes from one block to the next. */
export const CARRIED_ALL = BLOCK * 4;

/** `carried` is one block that is added to every block. */
export const CARRIED_ONE = 0;
