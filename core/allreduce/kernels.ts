// The loops over float32 vectors that the all-reduce spends its arithmetic in, all in one memory that threads share. Decides which
// of two equal implementations runs: WebAssembly with vectors (kernels/kernels.wat), or where the machine has none
// the same in JavaScript (kernels/script.ts); order of additions is reduce.ts', layout of the memory memory.ts'.

import { FleetError } from '../errors.ts';
import { scriptKernels } from './kernels/script.ts';
import { WASM } from './kernels/wasm.ts';

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

/** What of WebAssembly is used here; Node's type definitions leave it to the DOM's. */
declare const WebAssembly: {
  readonly Memory: new (size: { initial: number; maximum: number; shared: true }) => SharedMemory;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (
    module: object,
    imports: { env: { memory: SharedMemory } },
  ) => { readonly exports: unknown };
  validate(bytes: Uint8Array): boolean;
};

/** A WebAssembly.Memory of fixed size: it may be sent to another thread, which then sees the same bytes. */
export interface SharedMemory {
  readonly buffer: SharedArrayBuffer;
}

const PAGE_BYTES = 65_536;
const PAGES_MAX = 65_535;

/** Zeros. */
export function createSharedMemory(bytes: number): SharedMemory {
  const pages = Math.max(1, Math.ceil(bytes / PAGE_BYTES));
  if (pages > PAGES_MAX)
    throw new FleetError(
      'resourceExhausted',
      `the exchange needs ${Math.ceil(bytes / 2 ** 20)} MiB at once and 4095 are possible; give the run more workers or fewer shards`,
    );
  return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
}

const bytes = Buffer.from(WASM, 'base64');
/** Compiled once a thread; undefined where the machine has no vectors. */
const module = WebAssembly.validate(bytes) ? new WebAssembly.Module(bytes) : undefined;

/** `kind` chooses an implementation in tests. */
export function createKernels(memory: SharedMemory, kind?: Kernels['kind']): Kernels {
  if (module === undefined || kind === 'script') return scriptKernels(memory.buffer);
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  return { kind: 'wasm', ...(exports as Omit<Kernels, 'kind'>) };
}
