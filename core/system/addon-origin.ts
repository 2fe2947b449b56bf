// What set-up wrote beside the TensorFlow addon that it put in place (deps/origin.json). Decides how that file is read; loads
// nothing of TensorFlow, so that the coordinator's command line may ask too.

import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

export interface AddonOrigin {
  /** Which libtensorflow set-up put in place; null where somebody else did. */
  readonly variant: 'cpu' | 'gpu' | null;
  /** Digest of our own kernels' sources and of the compiler that made them; null where the addon has none. */
  readonly kernels: string | null;
}

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
