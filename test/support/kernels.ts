// Assembles core/allreduce/kernels/kernels.wat into the text of core/allreduce/kernels/wasm.ts.
// `npm run generate:kernels` writes that file, a test compares it, and the programs only read it.

import { readFileSync } from 'node:fs';
import wabt from 'wabt';

const SOURCE = new URL('../../core/allreduce/kernels/kernels.wat', import.meta.url);

/** The whole text of core/allreduce/kernels/wasm.ts. */
export async function assembledModule(): Promise<string> {
  const tools = await wabt();
  const source = readFileSync(SOURCE, 'utf8');
  // The package's validation has no shared memory, so the module is validated when it is loaded.
  const parsed = tools.parseWat('kernels.wat', source, { simd: true, bulk_memory: true, threads: true });
  try {
    const { buffer } = parsed.toBinary({ write_debug_names: false });
    const lines = Buffer.from(buffer)
      .toString('base64')
      .match(/.{1,100}/g)!;
    return [
      '// Assembled from kernels.wat by `npm run generate:kernels`; a test says when it is stale. Not edited by hand.',
      '',
      '/** The module, in base64. */',
      `export const WASM = \`\n${lines.join('\n')}\n\`;`,
      '',
    ].join('\n');
  } finally {
    parsed.destroy();
  }
}
