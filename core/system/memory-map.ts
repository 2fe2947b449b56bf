// The door to the addon that makes a file a part of memory that Node already has
// (core/system/native/memory-map.cc, which set-up compiles). Decides what is there when the addon is not: nothing,
// and the caller does without.

import { createRequire } from 'node:module';
import { join } from 'node:path';
import { PACKAGE_ROOT } from './places.ts';

/** What the addon does; each function throws an error with the system's words. */
export interface MemoryMap {
  /**
   * Makes the bytes of `view` those of the file from `offset` on: whoever maps the same part sees what any of
   * them writes. Address and offset are multiples of the system's page. What was there before is gone.
   */
  map(view: Uint8Array, fd: number, offset: number): void;
  /** Makes the bytes of `view` zeros that belong to this process alone. */
  unmap(view: Uint8Array): void;
  /** Makes the file so long, with memory behind every byte: a write to a mapped file that has none kills. */
  allocate(fd: number, bytes: number): void;
  /** Takes the lock of the file unless another process has it; it ends with the process, however that ends. */
  lock(fd: number): boolean;
}

let loaded: MemoryMap | undefined;

/** The addon; undefined where set-up could not compile it. */
export function memoryMap(): MemoryMap | undefined {
  try {
    loaded ??= createRequire(import.meta.url)(
      join(PACKAGE_ROOT, 'node_modules/.pocketfleet/memory-map.node'),
    ) as MemoryMap;
  } catch {
    return undefined;
  }
  return loaded;
}
