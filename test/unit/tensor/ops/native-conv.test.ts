// Convolutions whose native kernels corrupt memory: they must be computed in another way.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { loaderArguments } from '../../../../core/system/script-arguments.ts';
import { ONE_THREAD } from '../../../support/tensors.ts';

const SCRIPT = fileURLToPath(new URL('./strided-process.ts', import.meta.url));

for (const [from, to] of [
  [8, 4],
  [4, 4],
] as const)
  test(`the gradient of a strided 1x1 convolution of ${from} to ${to} channels leaves the heap whole`, async () => {
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [...loaderArguments(), SCRIPT, String(from), String(to)],
      { env: { ...process.env, ...ONE_THREAD } },
    );
    assert.equal(stdout, 'done\n');
  });
