// What set-up changes in the addon and no other test would miss: a session's run lets go of what it was fed, however it ends. The
// addon shares the memory of arrays that it is fed, so an array that cannot be collected is one that it still holds.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { writeFolder } from '../../core/tensor/graph/graph-cache.ts';
import { saveGraph } from '../../core/tensor/graph/saved-model.ts';
import {
  deleteTensors,
  deletingTensors,
  feedArrays,
  inputNames,
  loadGraph,
} from '../../core/tensor/graph/session.ts';
import { type GraphInput, record } from '../../core/tensor/recording/record.ts';
import { addonFacts, type Tensor, tf } from '../../core/tensor/tf.ts';

const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-addon-'));
after(() => rmSync(folder, { recursive: true, force: true }));

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const input = (name: string, length: number): GraphInput => ({ name, dtype: 'float32', shape: [length] });
const DECLARED = [input('a', 8), input('b', 8)];

/**
 * Views of one buffer. TensorFlow shares memory that is aligned to its vectors, 64 bytes at most, and copies any other; memory
 * is allocated at multiples of 16 bytes, so one of four is shared.
 */
function views(length: number): Float32Array[] {
  const buffer = new ArrayBuffer(48 + length * 4);
  return [0, 16, 32, 48].map((offset) => new Float32Array(buffer, offset, length));
}

/** Runs the sum of two arrays with each view as the second. */
function fed(length: number, fetch: string, failure?: RegExp): WeakRef<Float32Array>[] {
  const graph = loadGraph(folder);
  const weak = views(length).map((view) => {
    const run = () =>
      deletingTensors((held) => {
        feedArrays([input('a', 8), input('b', length)], [new Float32Array(8), view], held);
        held.push(...graph.run(inputNames(DECLARED), held, [fetch]));
      });
    if (failure === undefined) run();
    else assert.throws(run, failure);
    return new WeakRef(view);
  });
  graph.dispose();
  return weak;
}

/** How many are still there, in a job of its own, since a target lives to the end of the job that last looked at it. */
async function keptOf(arrays: readonly WeakRef<Float32Array>[]): Promise<number> {
  await new Promise(setImmediate);
  collectGarbage();
  return arrays.filter((array) => array.deref() !== undefined).length;
}

const skip =
  addonFacts().graphs === 'as-recorded'
    ? false
    : 'the addon is for a GPU or not of this set-up, and such a one may keep what a failed run was fed';

test('what a session was fed is let go when its run succeeds, fails, or is refused', { skip }, async () => {
  const sum = record({ inputs: DECLARED, build: ([a, b]: Tensor[]) => [tf.add(a!, b!)] });
  writeFolder(folder, saveGraph(sum));
  assert.equal(await keptOf(fed(8, 'out0:0')), 0);
  assert.equal(await keptOf(fed(3, 'out0:0', /Incompatible shapes: \[8\] vs. \[3\]/)), 0);
  assert.equal(await keptOf(fed(8, 'nowhere:0', /Output op name can not be found/)), 0);

  const tensors: number[] = [];
  const arrays = views(8).map((view) => {
    feedArrays([input('b', 8)], [view], tensors);
    return new WeakRef(view);
  });
  assert.notEqual(await keptOf(arrays), 0, 'what is not let go would be seen');
  deleteTensors(tensors);
  assert.equal(await keptOf(arrays), 0);
});
