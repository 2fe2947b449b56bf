// `npm run test:pjrt`, the engine: a recorded training step gives the same numbers as TensorFlow's session within
// rounding, and the same bits in every run, in another process, on another device, in two parts, with vectors that stay
// on the device, and from the cache.

import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { digest64 } from '../../core/digest.ts';
import { FleetError } from '../../core/errors.ts';
import { buildNetwork } from '../../core/nn/build.ts';
import { initialWeights } from '../../core/nn/init.ts';
import { layoutOf } from '../../core/nn/layout.ts';
import { backboneFunction, embeddingFunction, trainingFunction } from '../../core/nn/step-function.ts';
import type { Engine } from '../../core/tensor/graph/engine.ts';
import { tensorflowEngine } from '../../core/tensor/graph/tensorflow-engine.ts';
import { installedFor } from '../../core/tensor/pjrt/binding.ts';
import { tf } from '../../core/tensor/tf.ts';
import { openEngine } from '../../worker/compute/engine.ts';
import { cpuEngine } from '../support/pjrt.ts';

const cacheDir = mkdtempSync(join(tmpdir(), 'pocketfleet-engine-'));
after(() => rmSync(cacheDir, { recursive: true, force: true }));

const BATCH = 2;
const CLASSES = 6;
const network = buildNetwork({
  kind: 'pocketnet',
  channels: 4,
  layers: 4,
  embedding: 8,
  genotype: 'casia',
} as Parameters<typeof buildNetwork>[0]);
const layout = layoutOf(network, { classes: CLASSES });
const loss = { margin: 0.5, scale: 64 } as Parameters<typeof trainingFunction>[0]['loss'];
const step = { key: 'step', ...trainingFunction({ network, layout, batch: BATCH, loss }) };

const weights = initialWeights(layout, 3);
const images = Uint8Array.from({ length: BATCH * 112 * 112 * 3 }, (_, i) => (i * 7919) % 251);
const labels = Int32Array.from({ length: BATCH }, (_, i) => i % CLASSES);

/** Largest difference as a part of the reference's length. */
function distance(actual: Float32Array, reference: Float32Array): number {
  let difference = 0;
  let length = 0;
  for (const [i, value] of reference.entries()) {
    difference += (actual[i]! - value) ** 2;
    length += value ** 2;
  }
  return Math.sqrt(difference / length);
}

const compiled = (engine: Engine) => engine.compile({ ...step, cacheDir });

test('a training step has the numbers of TensorFlow, and equal bits in each run and on each device', () => {
  const reference = compiled(tensorflowEngine);
  const [expected] = reference.run([weights, images, labels]);
  const graph = compiled(cpuEngine());
  assert.deepEqual(graph.outputShapes, reference.outputShapes);
  const into = new Float32Array(new SharedArrayBuffer(layout.vectorCount * 4));
  assert.deepEqual(graph.run([weights, images, labels], into), []);
  const measured = distance(into, expected!);
  console.log(
    `distance to TensorFlow ${measured.toExponential(2)}, loss ${into.at(-3)} and ${expected!.at(-3)}`,
  );
  assert(measured < 1e-3, `${measured}`);
  const digests = [0, 1, 2, 3].map((device) => {
    const other = compiled(cpuEngine({ devices: [device] }));
    const digest = digest64(other.run([weights, images, labels])[0]!);
    other.dispose();
    return digest;
  });
  assert.deepEqual(new Set(digests), new Set([digest64(into)]));
  graph.dispose();
  assert.throws(() => graph.run([weights, images, labels]), { code: 'failedPrecondition' });
  reference.dispose();
});

test('the cache holds modules and program, and what is loaded has the same bits', () => {
  const ownCache = mkdtempSync(join(cacheDir, 'own-'));
  const own = layoutOf(network, {});
  const function_ = { key: 'embed', ...embeddingFunction({ network, layout: own, batch: 1 }) };
  const inputs = [
    initialWeights(own, 3),
    new Float32Array(own.runningCount).fill(1),
    images.subarray(0, 112 * 112 * 3),
  ];
  const digests = [true, false].map((isFirst) => {
    const graph = cpuEngine().compile({ ...function_, cacheDir: ownCache });
    assert.equal(graph.recorded, isFirst);
    const [embedding] = graph.run(inputs);
    graph.dispose();
    return digest64(embedding!);
  });
  assert.equal(digests[0], digests[1]);
  // Its modules and its program.
  assert.equal(readdirSync(join(ownCache, 'compiled')).length, 2);
});

test('a stored program is that of its flags too, which are part of the device class', () => {
  const ownCache = mkdtempSync(join(cacheDir, 'flags-'));
  const sum = {
    key: 'sum',
    inputs: [{ name: 'x', dtype: 'float32', shape: [4] }] as const,
    build: ([x]: Parameters<Parameters<Engine['compile']>[0]['build']>[0]) => [tf.sum(x!)],
  };
  const stored = () => {
    cpuEngine()
      .compile({ ...sum, cacheDir: ownCache })
      .dispose();
    return readdirSync(join(ownCache, 'compiled')).length;
  };
  const { XLA_FLAGS: before } = process.env;
  try {
    delete process.env.XLA_FLAGS;
    assert.deepEqual([stored(), stored()], [2, 2]);
    process.env.XLA_FLAGS = '--xla_cpu_enable_fast_math=true';
    assert.equal(stored(), 3);
  } finally {
    if (before === undefined) delete process.env.XLA_FLAGS;
    else process.env.XLA_FLAGS = before;
  }
});

test('what is no number stays none where the larger of two values is taken', () => {
  const { engine } = openEngine({ wanted: 'pjrt', gpu: false, memoryShare: 0 });
  const graph = engine.compile({
    key: 'extrema',
    inputs: ['a', 'b'].map((name) => ({ name, dtype: 'float32', shape: [4] }) as const),
    build: ([a, b]) => [tf.maximum(a!, b!), tf.minimum(a!, b!), tf.stack([tf.max(a!), tf.min(a!)])],
  });
  const outputs = graph.run([Float32Array.of(Number.NaN, 1, 2, 3), Float32Array.of(0, Number.NaN, 3, 2)]);
  graph.dispose();
  assert.deepEqual(
    outputs.map((values) => [...values]),
    [
      [Number.NaN, Number.NaN, 3, 3],
      [Number.NaN, Number.NaN, 2, 2],
      [Number.NaN, Number.NaN],
    ],
  );
});

test('vectors that stay on the device give the same bits as those that travel', () => {
  for (const engine of [cpuEngine(), tensorflowEngine]) {
    const graph = compiled(engine);
    const [travelled] = graph.run([weights, images, labels]);
    const kept = engine.keep(weights);
    const [resident] = graph.run([kept, images, labels]);
    assert.equal(digest64(resident!), digest64(travelled!));
    const back = new Float32Array(weights.length);
    kept.read(back);
    assert.equal(digest64(back), digest64(weights));
    const other = engine === tensorflowEngine ? cpuEngine() : tensorflowEngine;
    const strange = other.keep(weights);
    assert.throws(() => graph.run([strange, images, labels]), { code: 'failedPrecondition' });
    kept.free();
    strange.free();
    assert.throws(() => graph.run([kept, images, labels]), { code: 'failedPrecondition' });
    graph.dispose();
  }
});

test('a step in two parts has the bits of the same step in which everything is computed again', () => {
  const own = layoutOf(network, {});
  const function_ = { key: 'parts', ...backboneFunction({ network, layout: own, batch: BATCH }) };
  const graph = cpuEngine().compileTwoPart(function_);
  const slopes = Float32Array.from({ length: BATCH * 8 }, (_, i) => Math.sin(i));
  const margin = Float32Array.of(1.5);
  const vectors = [true, false].map((keep) => {
    const begun = graph.begin([initialWeights(own, 3), images], keep);
    assert.equal(begun.outputs[0]!.length, BATCH * 8);
    assert.equal(begun.kept.tensors > 0, keep);
    const [vector] = begun.finish([slopes, margin]);
    assert.throws(() => begun.finish([slopes, margin]), { code: 'failedPrecondition' });
    return vector!;
  });
  assert.equal(digest64(vectors[0]!), digest64(vectors[1]!));
  const reference = tensorflowEngine.compileTwoPart(function_);
  const [expected] = reference.begin([initialWeights(own, 3), images], true).finish([slopes, margin]);
  assert(distance(vectors[0]!, expected!) < 1e-3);
  const open = graph.begin([initialWeights(own, 3), images], true);
  assert.equal(graph.begun(), 1);
  open.release();
  open.release();
  assert.equal(graph.begun(), 0);
  graph.dispose();
  reference.dispose();
});

test('embeddings have the numbers of TensorFlow', () => {
  const own = layoutOf(network, {});
  const function_ = { key: 'embed', ...embeddingFunction({ network, layout: own, batch: BATCH }) };
  const inputs = [initialWeights(own, 3), new Float32Array(own.runningCount).fill(1), images];
  const [ours, theirs] = [cpuEngine(), tensorflowEngine].map((engine) => {
    const graph = engine.compile(function_);
    const [values] = graph.run(inputs);
    graph.dispose();
    return values!;
  });
  assert(distance(ours!, theirs!) < 1e-4);
});

test('wrong inputs are refused, and an operation without a lowering is named when the function is recorded', () => {
  const graph = compiled(cpuEngine());
  const short = cpuEngine().keep(new Float32Array(3));
  assert.throws(() => graph.run([short, images, labels]), {
    code: 'invalidArgument',
    message:
      /^input weights is float32 \[\d+\], \d+ values; it was given a vector of 3 float32 on the device$/,
  });
  assert.throws(() => graph.run([weights, images]), { code: 'invalidArgument', message: /takes 3 inputs/ });
  graph.dispose();
  assert.throws(
    () =>
      cpuEngine().compile({
        key: 'strange',
        inputs: [{ name: 'x', dtype: 'float32', shape: [4] }],
        build: ([x]) => [tf.erf(x!)],
      }),
    (error) => error instanceof FleetError && error.code === 'unimplemented' && /Erf/.test(error.message),
  );
});

test('PJRT is opened on a GPU only where a plugin for GPUs is installed', () => {
  const open = (gpu: boolean) => openEngine({ wanted: 'pjrt', gpu, memoryShare: 0 });
  const { facts } = open(false);
  assert.equal(facts.name === 'pjrt' && facts.plugin, 'xla-cpu-pjrt 0.0.1');
  if (installedFor(true) !== undefined) return;
  assert.throws(() => open(true), {
    code: 'failedPrecondition',
    message:
      /^no plugin of PJRT for GPUs is installed; run `npm run setup:pjrt -- cuda13`, or start the worker with POCKETFLEET_ENGINE=tensorflow$/,
  });
});
