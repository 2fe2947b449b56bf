// Libraries of a CUDA driver without a GPU (test/fixtures/cuda/stub.c), for programs that are started with
// LD_LIBRARY_PATH. They answer questions about devices; TensorFlow cannot compute with them.

import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const CUDA_LIBRARIES = [
  'libcuda.so.1',
  'libnvidia-ml.so.1',
  'libcudnn.so.9',
  'libcublas.so.12',
] as const;

/**
 * Makes the folder with the named libraries and returns the environment by which a program finds them there.
 */
export function stubCuda(
  folder: string,
  libraries: readonly (typeof CUDA_LIBRARIES)[number][] = CUDA_LIBRARIES,
): { readonly LD_LIBRARY_PATH: string } {
  mkdirSync(folder, { recursive: true });
  const [first, ...others] = libraries.map((name) => join(folder, name));
  const source = fileURLToPath(new URL('../fixtures/cuda/stub.c', import.meta.url));
  execFileSync(process.env.CC || 'gcc', ['-shared', '-fPIC', source, '-o', first!]);
  for (const other of others) copyFileSync(first!, other);
  return { LD_LIBRARY_PATH: folder };
}
