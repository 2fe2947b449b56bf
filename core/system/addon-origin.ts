// The note that set-up leaves beside the TensorFlow addon (deps/origin.json): where the addon comes from.
// Decides how that file is read. It loads nothing of TensorFlow, so that the command line can use it too.

import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** Where the addon comes from. */
export interface AddonOrigin {
  /** The libtensorflow that set-up put in place; null where set-up did not. */
  readonly variant: 'cpu' | 'gpu' | null;
  /**
   * Digest of the sources of core/tensor/native and of the compiler; null where the addon has none of these
   * kernels.
   */
  readonly kernels: string | null;
}

/** The note of set-up; all fields are null where there is none. */
export function readAddonOrigin(): AddonOrigin {
  const folder = dirname(createRequire(import.meta.url).resolve('@tensorflow/tfjs-node-gpu/package.json'));
  const file = join(folder, 'deps/origin.json');
  if (!existsSync(file)) return { variant: null, kernels: null };
  const { variant, kernels } = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
  return {
    variant: variant === 'cpu' || variant === 'gpu' ? variant : null,
    kernels: typeof kernels === 'string' ? kernels : null,
  };
}
