// `npm run test:pjrt`, whole functions: every function that workers compile is lowered, and a step on the CPU plugin
// gives TensorFlow's vector, in one part and in two, and near it in the short precisions.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { headGradients, headStatistics } from '../../core/head/step.ts';
import { buildNetwork } from '../../core/nn/build.ts';
import { initialWeights } from '../../core/nn/init.ts';
import { layoutOf } from '../../core/nn/layout.ts';
import {
  backboneFunction,
  embeddingFunction,
  type TensorFunction,
  trainingFunction,
} from '../../core/nn/step-function.ts';
import { buildSupernet } from '../../core/nn/supernet.ts';
import { searchFunction, searchLogitsFunction } from '../../core/search/search-function.ts';
import { type CompiledGraph, compileGraph } from '../../core/tensor/graph/compiled.ts';
import { lower, recordLowerable } from '../../core/tensor/lowering/lower.ts';
import { compileLowered, compileModule, type Values } from '../support/lowered.ts';
import { numbers, relativeError, smallStep } from '../support/tensors.ts';

const LOSS = { scale: 64, margin: 0.5 };
const BATCH = 2;

const NETWORKS = {
  pocketnet: buildNetwork({ kind: 'pocketnet', channels: 4, layers: 4, embedding: 128, genotype: 'casia' }),
  iresnet: buildNetwork({
    kind: 'iresnet',
    blocks: [1, 1, 1, 1],
    widths: [8, 8, 8, 8],
    stem: 8,
    embedding: 128,
  }),
  mobilefacenet: buildNetwork({ kind: 'mobilefacenet', embedding: 128 }),
} as const;

const HEAD = { batch: 16, shards: 4, embedding: 128, classes: 24, loss: LOSS };

/** Every function that workers compile. */
function* everyFunction(): Generator<[string, TensorFunction]> {
  for (const [name, network] of Object.entries(NETWORKS)) {
    const layout = layoutOf(network, { classes: 24 });
    const student = layoutOf(network, { classes: 24, adapter: 64 });
    yield [`${name}, a step`, trainingFunction({ network, layout, batch: BATCH, loss: LOSS })];
    yield [
      `${name}, a student's step`,
      trainingFunction({ network, layout: student, batch: BATCH, loss: LOSS, distils: true }),
    ];
    yield [`${name}, in two parts`, backboneFunction({ network, layout: layoutOf(network), batch: BATCH })];
    yield [`${name}, embeddings`, embeddingFunction({ network, layout: layoutOf(network), batch: BATCH })];
  }
  const network = buildSupernet({ kind: 'supernet', channels: 4, layers: 4, classes: 8 });
  const layout = layoutOf(network);
  yield ['search, weights', searchFunction({ network, layout, batch: BATCH, wanted: 'weights-and-alphas' })];
  yield ['search, alphas', searchFunction({ network, layout, batch: BATCH, wanted: 'alphas' })];
  yield ['search, logits', searchLogitsFunction({ network, layout, batch: BATCH })];
  yield ['a class shard, statistics', headStatistics(HEAD)];
  yield ['a class shard, gradients', headGradients(HEAD)];
}

/** What TensorFlow gives for the function. */
function onTensorFlow(key: string, recorded: TensorFunction, arrays: readonly Values[]): Float32Array[] {
  const graph: CompiledGraph = compileGraph({ key, ...recorded });
  try {
    return graph.run(arrays as Parameters<CompiledGraph['run']>[0]);
  } finally {
    graph.dispose();
  }
}

const images = (batch: number) =>
  Uint8Array.from(numbers(batch * 112 * 112 * 3, 7), (value) => Math.floor((value + 1) * 128));

test('every function that workers compile is lowered, in each precision', () => {
  let count = 0;
  for (const [title, recorded] of everyFunction()) {
    const recording = recordLowerable(recorded);
    for (const precision of ['float32', 'bf16'] as const) {
      const { inputs, outputs } = lower(recording, { precision });
      assert.deepEqual(
        inputs.map(({ shape }) => [...shape]),
        recorded.inputs.map(({ shape }) => shape),
        title,
      );
      assert.ok(outputs.every(({ element }) => element === 'f32'));
    }
    count++;
  }
  assert.equal(count, 17);
});

test("a small step is TensorFlow's in float32, near it in bf16, and the same bits every time", () => {
  const [wanted] = onTensorFlow('small', smallStep, smallStep.arrays());
  const run = (precision: 'float32' | 'tf32' | 'bf16') => {
    const step = compileLowered(smallStep, { precision });
    const [first, again] = [step.run(smallStep.arrays())[0]!, step.run(smallStep.arrays())[0]!];
    step.free();
    assert.deepEqual(first, again);
    return relativeError(first, wanted!);
  };
  // Measured: 2.4e-7, 2.4e-7 (processors have no TF32), 6.2e-3. A bfloat16 rounds by 2^-9 = 2e-3.
  assert.ok(run('float32') < 2e-6);
  assert.ok(run('tf32') < 2e-6);
  const short = run('bf16');
  assert.ok(short > 1e-4 && short < 3e-2, `${short}`);
});

test('a step of a PocketNet gives the gradient of TensorFlow, statistics and losses', () => {
  const network = NETWORKS.pocketnet;
  const layout = layoutOf(network, { classes: 64 });
  // Four images: with two, the variance of an embedding is the square of one small difference, whose rounding is large.
  const batch = 4;
  const step = trainingFunction({ network, layout, batch, loss: LOSS });
  const arrays = [initialWeights(layout, 3), images(batch), Int32Array.of(0, 7, 14, 21)];
  const [wanted] = onTensorFlow('pocketnet', step, arrays);
  const compiled = compileLowered(step);
  const got = compiled.run(arrays)[0]! as Float32Array;
  compiled.free();
  const part = (from: number, to: number) =>
    relativeError(got.subarray(from, to), wanted!.subarray(from, to));
  const { parameterCount: p, runningCount: s } = layout;
  // Measured: 6.2e-6, 8.9e-7, 3e-7. An activation that rounding takes across zero would change the gradient by 1e-3.
  assert.ok(part(0, p) < 2e-4, `gradient ${part(0, p)}`);
  assert.ok(part(p, p + s) < 5e-6, `statistics ${part(p, p + s)}`);
  assert.ok(part(p + s, p + s + 3) < 1e-5, `losses ${part(p + s, p + s + 3)}`);
});

test('a class shard gives what TensorFlow gives', () => {
  const places = Int32Array.from({ length: HEAD.batch }, (_, i) => (i % 3 === 0 ? -1 : i));
  const unit = numbers(HEAD.batch * HEAD.embedding, 1);
  const arrays = [unit, numbers(HEAD.classes * HEAD.embedding, 2), places];
  const statistics = numbers(HEAD.shards * 3 * HEAD.batch, 3).map((value) => value + 2);
  for (const [name, recorded, given] of [
    ['statistics', headStatistics(HEAD), arrays],
    ['gradients', headGradients(HEAD), [...arrays, statistics]],
  ] as const) {
    const wanted = onTensorFlow(name, recorded, given);
    const compiled = compileLowered(recorded);
    const got = compiled.run(given);
    compiled.free();
    for (const [i, values] of wanted.entries()) {
      const error = relativeError(got[i]! as Float32Array, values);
      assert.ok(error < 1e-5, `${name}, output ${i}: ${error}`);
    }
  }
});

test('a function in two modules, what the first keeps fed to the second, gives the values of one', () => {
  const recording = recordLowerable(smallStep);
  // A cut behind a third of the operations: what crosses it, and all inputs.
  const middle = Math.floor(recording.nodes.length / 3);
  const crossing = new Map<string, { node: number; output: number }>();
  recording.nodes.forEach((node, index) => {
    if (index <= middle || node.kind !== 'operation') return;
    for (const edge of node.inputs)
      if (edge.node <= middle && recording.nodes[edge.node]!.kind === 'operation')
        crossing.set(`${edge.node}:${edge.output}`, edge);
  });
  const edges = [...crossing.values()];
  assert.ok(edges.length > 3);
  const inputs = recording.nodes.flatMap((node, index) =>
    node.kind === 'input' ? [{ node: index, output: 0 }] : [],
  );
  const first = compileModule(lower(recording, { fetches: edges }));
  const second = compileModule(lower(recording, { feeds: [...inputs, ...edges] }));
  const arrays = smallStep.arrays();
  const [vector] = second.run([...arrays, ...first.run(arrays)]);
  const whole = compileModule(lower(recording));
  const [wanted] = whole.run(arrays);
  for (const module of [first, second, whole]) module.free();
  assert.equal(vector!.length, 551);
  assert.ok(relativeError(vector! as Float32Array, wanted! as Float32Array) < 2e-6);
});
