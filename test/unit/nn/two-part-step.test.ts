// The bits of a backbone's step do not depend on whether a worker had the memory to keep its forward pass:
// all kinds of networks, with and without a teacher, our own kernels and the library's, one thread and two.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { loaderArguments } from '../../../core/system/script-arguments.ts';
import { addonFacts, hasOwnKernels } from '../../../core/tensor/tf.ts';
import { ONE_THREAD } from '../../support/tensors.ts';
import type { TwoPartResult } from './two-part-process.ts';

const SCRIPT = fileURLToPath(new URL('./two-part-process.ts', import.meta.url));

async function resultsWith(environment: Record<string, string>): Promise<TwoPartResult[]> {
  const { stdout } = await promisify(execFile)(process.execPath, [...loaderArguments(), SCRIPT], {
    env: { ...process.env, ...ONE_THREAD, ...environment },
  });
  return JSON.parse(stdout) as TwoPartResult[];
}

const TWO_THREADS = { TF_NUM_INTRAOP_THREADS: '2', TF_NUM_INTEROP_THREADS: '2', OMP_NUM_THREADS: '2' };

for (const [name, environment] of [
  ['our own kernels', {}],
  ['our own kernels and two threads', TWO_THREADS],
  ["the library's kernels", { POCKETFLEET_KERNELS: 'library' }],
] as const)
  test(`with ${name} a forward pass that is kept gives the bits of one that is computed again`, async () => {
    const results = await resultsWith(environment);
    assert.equal(results.length, 8);
    // Equal bits could also come from a part that ignores its inputs.
    assert.equal(new Set(results.map(({ kept }) => kept[1])).size, results.length);
    assert.equal(results.filter(({ recomputed }) => recomputed !== undefined).length, 2);
    for (const result of results) {
      const { name: network, ownKernels, keptBytes, kept, again, tensors } = result;
      if (result.recomputed !== undefined) assert.deepEqual(result.recomputed, kept, network);
      if (result.recomputedBytes !== undefined)
        assert.ok(
          result.recomputedBytes < 0.6 * keptBytes!,
          `${network}: ${result.recomputedBytes}, ${keptBytes}`,
        );
      assert.equal(ownKernels, hasOwnKernels() && !('POCKETFLEET_KERNELS' in environment), network);
      assert.equal(keptBytes !== undefined && keptBytes > 0, addonFacts().graphs === 'as-recorded', network);
      assert.deepEqual(kept, again, network);
      assert.equal(tensors, 0, network);
    }
  });
