// For which computations the compute thread keeps what their first part made until the second
// (core/tensor/graph/two-part.ts). Both ways give the same bits, so that this may depend on what the machine
// has free at the moment; keeping saves a fifth of the time.

import { cpus, freemem } from 'node:os';

/** Bytes. */
export interface FreeMemory {
  /** On the machine, what the system would take back from its file cache included. */
  readonly machine: number;
  /** Until this process reaches the limit of its container; Infinity without one. */
  readonly own: number;
}

/**
 * This process's own limit must leave so many times what one computation keeps: once for itself, once for
 * another that is computed again and holds as much while it runs, and once for what a second part needs
 * beside it (S-128, 8 images: 296 MB are kept and 80 MB are needed beside) and for everything else.
 */
const OWN_SHARE = 3;
/**
 * The machine must leave so many times that for each of its cores: each core may have a worker that decides
 * at the same moment, and each such worker keeps one computation and runs another.
 */
const CORE_SHARE = 2;

export interface Keeping {
  /** Whether one more computation may keep so many bytes. */
  mayKeep(bytes: number): boolean;
  keeps(bytes: number): void;
  frees(bytes: number): void;
  /** Bytes that are kept now. */
  bytes(): number;
}

export function createKeeping(free: () => FreeMemory = freeMemory, cores = cpus().length): Keeping {
  let kept = 0;
  let keptMax = 0;
  return {
    mayKeep(bytes) {
      // What was kept before is still with TensorFlow, which gives nothing back to the system
      // (worker/compute/device.ts), and is not among what is free.
      if (kept + bytes <= keptMax) return true;
      const { machine, own } = free();
      return bytes * OWN_SHARE <= own && bytes * CORE_SHARE * cores <= machine;
    },
    keeps(bytes) {
      kept += bytes;
      keptMax = Math.max(keptMax, kept);
    },
    frees(bytes) {
      kept -= bytes;
    },
    bytes: () => kept,
  };
}

/**
 * In a container the free memory does not count: files that were read stay in it until something else needs
 * the place.
 */
function freeMemory(): FreeMemory {
  const limit = process.constrainedMemory();
  return {
    machine: freemem(),
    own: limit > 0 ? limit - process.memoryUsage.rss() : Number.POSITIVE_INFINITY,
  };
}
