import assert from 'node:assert/strict';
import test from 'node:test';
import { digest64 } from '../../../core/digest.ts';
import { arcfaceLoss } from '../../../core/loss/arcface.ts';
import { exportSafetensors } from '../../../core/model/export.ts';
import { readSafetensors } from '../../../core/model/safetensors.ts';
import { buildNetwork } from '../../../core/nn/build.ts';
import { forward } from '../../../core/nn/forward.ts';
import { initialRunning, initialWeights } from '../../../core/nn/init.ts';
import { layoutOf, splitVector } from '../../../core/nn/layout.ts';
import {
  backboneFunction,
  embeddingFunction,
  type TensorFunction,
  trainingFunction,
} from '../../../core/nn/step-function.ts';
import { applyStep } from '../../../core/optim/sgd.ts';
import { uniforms } from '../../../core/rng.ts';
import { networkSchema } from '../../../core/spec/network.ts';
import { compileGraph } from '../../../core/tensor/graph/compiled.ts';
import { compileTwoPart } from '../../../core/tensor/graph/two-part.ts';
import { type Scalar, type Tensor, type Tensor1D, tf } from '../../../core/tensor/tf.ts';
import { OWN_CELLS } from '../../support/genotypes.ts';

const BATCH = 2;
const CLASSES = 3;
const LOSS = { scale: 64, margin: 0.5 };
const SPECS = [
  {
    kind: 'pocketnet',
    channels: 2,
    layers: 4,
    embedding: 4,
    genotype: OWN_CELLS,
  },
  { kind: 'iresnet', blocks: [1, 1, 1, 1], widths: [2, 2, 4, 4], stem: 4, embedding: 4 },
  { kind: 'mobilefacenet', embedding: 4 },
];

const images = Uint8Array.from(uniforms(1, 'images', BATCH * 112 * 112 * 3), (value) =>
  Math.floor(value * 256),
);
const labels = Int32Array.of(0, 2);
const teacher = Float32Array.from(uniforms(1, 'teacher', BATCH * 4), (value) => value - 0.5);

const setup = (spec: unknown) => {
  const network = buildNetwork(networkSchema.parse(spec));
  const layout = layoutOf(network, { classes: CLASSES });
  return { network, layout, weights: initialWeights(layout, 4), running: initialRunning(layout) };
};

function compiled(
  key: string,
  tensorFunction: TensorFunction,
  inputs: (Float32Array | Int32Array | Uint8Array)[],
) {
  const graph = compileGraph({ key, ...tensorFunction });
  try {
    return graph.run(inputs)[0] ?? new Float32Array();
  } finally {
    graph.dispose();
  }
}

/** Weight of the distillation term. */
const KD_WEIGHT = Float32Array.of(100);

const distance = (a: Float32Array, b: Float32Array) => {
  assert.equal(a.length, b.length);
  let difference = 0;
  let size = 0;
  for (let i = 0; i < a.length; i++) {
    difference += ((a[i] ?? 0) - (b[i] ?? 0)) ** 2;
    size += (b[i] ?? 0) ** 2;
  }
  return Math.sqrt(difference / size);
};

for (const spec of SPECS) {
  test(`${spec.kind}: a step is one vector of gradient, statistics and losses, and frozen parameters get zero`, () => {
    const { network, layout, weights } = setup(spec);
    const step = trainingFunction({ network, layout, batch: BATCH, loss: LOSS, distils: true });
    const vector = compiled(`${spec.kind}/kd`, step, [weights, images, labels, teacher, KD_WEIGHT]);
    assert.equal(vector.length, layout.vectorCount);
    assert.ok(vector.every(Number.isFinite));
    const { gradient, statistics, losses } = splitVector(layout, vector);
    const [loss = 0, margin = 0, distillation = 0] = losses;
    assert.ok(Math.abs(loss - margin - distillation) < 1e-4 * loss);
    assert.ok(distillation > 0);
    for (const slot of layout.parameters) {
      const own = gradient.subarray(slot.offset, slot.offset + slot.size);
      if (!slot.trainable) assert.ok(own.every((value) => value === 0));
    }
    for (const slot of layout.running)
      if (slot.role === 'running_var')
        assert.ok(statistics.subarray(slot.offset, slot.offset + slot.size).every((value) => value >= 0));
  });

  test(`${spec.kind}: folded kernels give the embeddings of the layers one by one`, () => {
    const { network, layout, weights, running } = setup(spec);
    // Statistics that are neither 0 nor 1, so that a missing one changes the result.
    for (let i = 0; i < running.length; i++) running[i] = (running[i] ?? 0) * 1.5 + 0.1;
    const run = (fuse: boolean) =>
      compiled(`${spec.kind}/embed/${fuse}`, embeddingFunction({ network, layout, batch: BATCH, fuse }), [
        weights,
        running,
        images,
      ]);
    assert.ok(distance(run(true), run(false)) < 1e-5);
  });
}

test('a training pass with layers run together has the embeddings, statistics and gradients of the layers one by one', () => {
  const { network, layout, weights } = setup(SPECS[0]);
  const pass = (fuse: boolean): TensorFunction => ({
    inputs: [
      { name: 'weights', dtype: 'float32', shape: [weights.length] },
      { name: 'images', dtype: 'float32', shape: [BATCH, 112, 112, 3] },
    ],
    build: ([vector, maps]) => {
      const run = (all: Tensor) => {
        const parameters = layout.parameters.map(({ offset, size, shape }) =>
          tf.reshape(tf.slice1d(all as Tensor1D, offset, size), [...shape]),
        );
        return forward({ network, layout, parameters, images: maps!, fuse });
      };
      const { embedding, statistics } = run(vector!);
      const loss = (all: Tensor) => tf.sum(tf.square(run(all).embedding)) as Scalar;
      return [
        tf.concat(
          [tf.grad(loss)(vector!), embedding, ...statistics].map((tensor) => tf.reshape(tensor, [-1])),
        ),
      ];
    },
  });
  const maps = Float32Array.from(images, (value) => value / 127.5 - 1);
  const [together, apart] = [true, false].map((fuse) =>
    compiled(`pass/${fuse}`, pass(fuse), [weights, maps]),
  );
  // As above: two images a batch norm make rounding large.
  assert.ok(distance(together!, apart!) < 1e-3);
});

test('without a teacher there is no distillation term and no such input', () => {
  const { network, layout, weights } = setup(SPECS[0]);
  const step = trainingFunction({ network, layout, batch: BATCH, loss: LOSS });
  assert.deepEqual(
    step.inputs.map((input) => input.name),
    ['weights', 'images', 'labels'],
  );
  const { losses } = splitVector(layout, compiled('plain', step, [weights, images, labels]));
  assert.equal(losses[0], losses[1]);
  assert.equal(losses[2], 0);
});

test('an eager step leaves no tensor behind and agrees with the compiled one', () => {
  const { network, layout, weights } = setup(SPECS[1]);
  const step = trainingFunction({ network, layout, batch: BATCH, loss: LOSS });
  const before = tf.memory().numTensors;
  let eager = new Float32Array();
  tf.tidy(() => {
    const inputs = [
      tf.tensor1d(weights),
      tf.tensor4d(Int32Array.from(images), [BATCH, 112, 112, 3], 'int32'),
      tf.tensor1d(labels, 'int32'),
    ];
    const [vector] = step.build(inputs);
    eager = new Float32Array(vector?.dataSync() ?? []);
  });
  assert.equal(tf.memory().numTensors, before);
  // Two images a batch norm make rounding large; any mistake would make gradients differ far more.
  assert.ok(distance(compiled('eager', step, [weights, images, labels]), eager) < 1e-3);
});

test('a step that computes activations again gives the same weights, step after step', () => {
  const { network, layout, weights } = setup({ ...SPECS[0], channels: 8 });
  const step = trainingFunction({ network, layout, batch: BATCH, loss: LOSS });
  const optimizer = { momentum: 0.9, weightDecay: 5e-4, clipNorm: 5 };
  const [kept, again] = [false, true].map((recompute) => {
    const graph = compileGraph({ key: 'step', ...step, recompute });
    const state = {
      weights: weights.slice(),
      momentum: new Float32Array(layout.parameterCount),
      running: initialRunning(layout),
    };
    for (let n = 0; n < 3; n++) {
      const [mean] = graph.run([state.weights, images, labels]);
      applyStep({ layout, ...state, mean: mean!, learningRate: 0.05, optimizer });
    }
    graph.dispose();
    return { nodes: graph.nodes, digest: digest64(state.weights) };
  });
  assert.equal(again!.digest, kept!.digest);
  assert.ok(again!.nodes > kept!.nodes, 'nothing is computed again');
  assert.notEqual(kept!.digest, digest64(weights));
});

for (const distils of [false, true])
  test(`a backbone around a head that is elsewhere gives the gradient of the whole step, ${distils ? 'with' : 'without'} a teacher`, () => {
    const { network, layout, weights } = setup(SPECS[0]);
    const backbone = layoutOf(network);
    const own = weights.subarray(0, backbone.parameterCount);
    const given = distils ? [teacher, KD_WEIGHT] : [];
    const whole = splitVector(
      layout,
      compiled('whole', trainingFunction({ network, layout, batch: BATCH, loss: LOSS, distils }), [
        weights,
        images,
        labels,
        ...given,
      ]),
    );
    const graph = compileTwoPart({
      key: 'backbone',
      ...backboneFunction({ network, layout: backbone, batch: BATCH, distils }),
    });
    const begun = graph.begin([own, images], true);
    const [unit] = begun.outputs;
    const kernel = weights.subarray(backbone.parameterCount);
    const [slopes, margin] = tf.tidy(() => {
      const { value, grad } = tf.valueAndGrad((u: Tensor) =>
        arcfaceLoss(
          u,
          tf.tensor2d(kernel, [network.embedding, CLASSES]),
          tf.tensor1d(labels, 'int32'),
          LOSS,
        ).asScalar(),
      )(tf.tensor2d(unit!, [BATCH, network.embedding]));
      return [new Float32Array(grad.dataSync()), new Float32Array(value.dataSync())];
    });
    const [vector] = begun.finish([slopes!, margin!, ...given]);
    graph.dispose();
    const parts = splitVector(backbone, vector!);
    // Two images a batch norm make rounding large, as above.
    assert.ok(distance(parts.gradient, whole.gradient.subarray(0, backbone.parameterCount)) < 1e-3);
    assert.ok(distance(parts.statistics, whole.statistics) < 1e-5);
    assert.ok(distance(parts.losses, whole.losses) < 1e-5);
  });

/** The distillation term through an adapter [E, T] in plain double arithmetic, with its gradients for u [b, E] and A. */
function plainAdapter(units: Float32Array, adapter: Float32Array, taught: Float32Array, weight: number) {
  const width = taught.length / BATCH;
  const size = units.length / BATCH;
  const length = (row: readonly number[]) => Math.sqrt(row.reduce((sum, value) => sum + value * value, 0));
  const forUnits = new Float32Array(units.length);
  const forAdapter = new Float32Array(adapter.length);
  let loss = 0;
  for (let i = 0; i < BATCH; i++) {
    const u = [...units.subarray(i * size, (i + 1) * size)];
    const t = [...taught.subarray(i * width, (i + 1) * width)];
    const v = t.map((_, k) => u.reduce((sum, value, j) => sum + value * adapter[j * width + k]!, 0));
    const [lengthV, lengthT] = [length(v), length(t)];
    const apart = v.map((value, k) => value / lengthV - t[k]! / lengthT);
    loss += (weight / (BATCH * width)) * apart.reduce((sum, value) => sum + value * value, 0);
    // (I - v v^T / |v|^2) (v / |v| - t / |t|) / |v|, times 2 w / (b T).
    const along = apart.reduce((sum, value, k) => sum + (value * v[k]!) / lengthV, 0);
    const forV = apart.map(
      (value, k) => ((2 * weight) / (BATCH * width)) * ((value - (along * v[k]!) / lengthV) / lengthV),
    );
    for (let j = 0; j < size; j++)
      for (let k = 0; k < width; k++) {
        forUnits[i * size + j]! += forV[k]! * adapter[j * width + k]!;
        forAdapter[j * width + k]! += u[j]! * forV[k]!;
      }
  }
  return { loss, forUnits, forAdapter };
}

test('an adapter has the loss and the gradients of the plain computation, in one part and in two, and is not exported', () => {
  const width = 6;
  const { network } = setup(SPECS[0]);
  const layout = layoutOf(network, { classes: CLASSES, adapter: width });
  const weights = initialWeights(layout, 4);
  const replicated = layoutOf(network, { adapter: width });
  const backbone = layoutOf(network);
  const slot = layout.parameters.at(-2)!;
  assert.deepEqual(
    [slot.name, slot.offset, slot.shape],
    ['adapter.kernel', layout.backboneCount, [4, width]],
  );
  assert.equal(layout.backboneCount, backbone.parameterCount);
  const taught = Float32Array.from(uniforms(1, 'taught', BATCH * width), (value) => value - 0.5);
  const given = [taught, KD_WEIGHT];
  const whole = splitVector(
    layout,
    compiled('adapter', trainingFunction({ network, layout, batch: BATCH, loss: LOSS, distils: true }), [
      ...[weights, images, labels],
      ...given,
    ]),
  );
  const part = (key: string, own: typeof layout, distils: boolean) =>
    compileTwoPart({ key, ...backboneFunction({ network, layout: own, batch: BATCH, distils }) });
  const alone = part('adapter backbone alone', backbone, false);
  const begun = alone.begin([weights.subarray(0, backbone.parameterCount), images], true);
  const unit = begun.outputs[0]!;
  const kernel = weights.subarray(slot.offset + slot.size);
  const [slopes, margin] = tf.tidy(() => {
    const { value, grad } = tf.valueAndGrad((u: Tensor) =>
      arcfaceLoss(u, tf.tensor2d(kernel, [4, CLASSES]), tf.tensor1d(labels, 'int32'), LOSS).asScalar(),
    )(tf.tensor2d(unit, [BATCH, 4]));
    return [new Float32Array(grad.dataSync()), new Float32Array(value.dataSync())];
  });
  const plain = plainAdapter(
    unit,
    weights.subarray(slot.offset, slot.offset + slot.size),
    taught,
    KD_WEIGHT[0]!,
  );
  assert.ok(Math.abs(whole.losses[2]! - plain.loss) < 1e-5 * plain.loss);
  const ofSlot = whole.gradient.subarray(slot.offset, slot.offset + slot.size);
  assert.ok(distance(ofSlot, plain.forAdapter) < 1e-5);
  // What the term asks of the student's embeddings goes through the backbone as any slope does.
  const joined = slopes!.map((value, i) => value + plain.forUnits[i]!);
  const [ofBackbone] = begun.finish([joined, margin!]);
  alone.dispose();
  const expected = splitVector(backbone, ofBackbone!).gradient;
  assert.ok(distance(whole.gradient.subarray(0, backbone.parameterCount), expected) < 1e-3);
  const graph = part('adapter backbone', replicated, true);
  const taken = graph.begin([weights.subarray(0, replicated.parameterCount), images], true);
  const [vector] = taken.finish([slopes!, margin!, ...given]);
  graph.dispose();
  const parts = splitVector(replicated, vector!);
  assert.ok(distance(parts.gradient, whole.gradient.subarray(0, replicated.parameterCount)) < 1e-3);
  assert.ok(distance(parts.losses, whole.losses) < 1e-5);
  const file = readSafetensors(
    exportSafetensors({ network, layout, weights, running: initialRunning(layout) }),
    'the export',
  );
  assert.ok(
    [...file.tensors.keys()].every((name) => !name.startsWith('adapter') && !name.startsWith('head')),
  );
});
