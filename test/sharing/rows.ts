// `npm run test:sharing`: rows of images with TensorFlow's own kernels. Where the proof holds, embeddings by image have the
// bits of those by batch for fewer passes, and where it fails they are those by batch. For which sizes of batch it holds
// depends on the processor; with oneDNN's AVX2 kernels it fails at eight images a shard.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { PACKAGE_ROOT } from '../../core/system/places.ts';
import { scriptArguments } from '../../core/system/script-arguments.ts';
import type { RowsFound } from './rows-program.ts';

const PROGRAM = new URL('./rows-program.ts', import.meta.url);

/** What the program finds with these kernels. */
async function found(env: Readonly<Record<string, string>>): Promise<RowsFound> {
  const { stdout } = await promisify(execFile)(process.execPath, scriptArguments(PROGRAM), {
    cwd: PACKAGE_ROOT,
    timeout: 900_000,
    env: {
      ...process.env,
      ...{ OMP_NUM_THREADS: '1', TF_NUM_INTRAOP_THREADS: '1', TF_NUM_INTEROP_THREADS: '1' },
      ...{ TF_CPP_MIN_LOG_LEVEL: '2', ...env },
    },
  });
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as RowsFound;
}

/** 3 epochs of 16 images; a pass that is not full has places to spare. */
function assertTaken({ proofs, proven, unproven }: RowsFound): void {
  assert.equal(typeof proofs[proven.size], 'number');
  assert.deepEqual([proven.refused, proven.told], [[], '']);
  for (const { byBatch, byImage, computed } of [proven, ...(unproven === undefined ? [] : [unproven])]) {
    assert.equal(byImage, byBatch, 'the same bits');
    assert.equal(computed.byBatch, 3 * 16);
  }
  const { byImage } = proven.computed;
  assert.ok(byImage > 16 && byImage < 3 * 16, `${byImage} images`);
  if (unproven === undefined) return;
  assert.deepEqual([...new Set(unproven.refused)], [proofs[unproven.size]], 'the reason is the proof');
  assert.equal(unproven.told, proofs[unproven.size]);
  assert.equal(unproven.computed.byImage, 3 * 16);
}

test('by image students get the bits that they get by batch, for fewer passes', async () => {
  assertTaken(await found({}));
});

test('with the kernels for AVX2 eight images fail the proof, and one alone is a group of its own', async () => {
  const rows = await found({ ONEDNN_MAX_CPU_ISA: 'AVX2' });
  assert.match(
    String(rows.proofs['8']),
    /^in a batch of 8 the same image has other bits in place \d than in place 0$/,
  );
  assert.equal(rows.proofs['1'], 1);
  assertTaken(rows);
});
