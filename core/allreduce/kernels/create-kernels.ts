// The loops over float32 vectors that the all-reduce spends its arithmetic in, all in one memory that threads
// share. Decides which of two equal implementations runs: WebAssembly with vectors (kernels.wat), or
// the same in JavaScript (script.ts) where the machine has no vectors.

import { FleetError } from '../../errors.ts';
import type { Kernels } from './kernels.ts';
import { scriptKernels } from './script.ts';
import { WASM } from './wasm.ts';

/** The part of WebAssembly that is used here; Node's type definitions leave it to the DOM's. */
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
/** Addresses have 32 bits, and the end of the last page must have one too. */
const PAGES_MAX = 65_535;
/** The largest memory, bytes. */
export const MEMORY_BYTES_MAX: number = PAGES_MAX * PAGE_BYTES;

/** At least so many bytes, all zero. Throws `resourceExhausted` beyond 32-bit addresses. */
export function createSharedMemory(bytes: number): SharedMemory {
  const pages = Math.max(1, Math.ceil(bytes / PAGE_BYTES));
  if (pages > PAGES_MAX)
    throw new FleetError(
      'resourceExhausted',
      `the exchange needs ${Math.ceil(bytes / 2 ** 20)} MiB at once and 4095 are possible; give the run more workers or fewer shards`,
      { details: { bytes } },
    );
  return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
}

const bytes = Buffer.from(WASM, 'base64');

/** Compiled once in each thread; undefined where the machine has no vectors. */
const module = WebAssembly.validate(bytes) ? new WebAssembly.Module(bytes) : undefined;

/** `kind` chooses an implementation in tests. */
export function createKernels(memory: SharedMemory, kind?: Kernels['kind']): Kernels {
  if (module === undefined || kind === 'script') return scriptKernels(memory.buffer);
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  return { kind: 'wasm', ...(exports as Omit<Kernels, 'kind'>) };
}
