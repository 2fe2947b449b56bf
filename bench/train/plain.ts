// The same training step as users of TensorFlow.js write it: a function of tf operations, tf.variableGrads,
// the momentum optimiser, each operation called from JavaScript. The yardstick, so with no needless work:
// moments and batchNorm, prelu, one pad for each convolution that needs one, tidy where tidy belongs.
//
// Argument: folder of the work. Legend: N images, H x W map, C channels, E embedding, K classes.

import type { Slot } from '../../core/nn/layout.ts';
import type { Layer } from '../../core/nn/network.ts';
import { type Tensor, type Tensor1D, type Tensor2D, type Tensor4D, tf } from '../../core/tensor/tf.ts';
import { serve } from './serve.ts';
import { LEARNING_RATE, LOSS, OPTIMIZER, readWork } from './work.ts';

type Variable = ReturnType<typeof tf.variable>;
type LayerVariables = Partial<Record<Slot['role'], Variable>>;

const EPSILON = 1e-5;
const RUNNING_SHARE = 0.1;
const COSINE_MAX = 1 - 1e-5;
/** What a padded pixel counts in a max-pool: less than any activation. */
const LOWEST = -3.4e38;

const [folder = ''] = process.argv.slice(2);

await serve(async () => {
  const given = readWork(folder);
  const { network, layout, work } = given;
  const variables = new Map<number, LayerVariables>();
  const declare = (slots: readonly Slot[], values: Float32Array) =>
    slots.map((slot) => {
      const value = values.subarray(slot.offset, slot.offset + slot.size);
      const variable = tf.variable(tf.tensor(value, [...slot.shape]), slot.trainable);
      variables.set(slot.layer, { ...variables.get(slot.layer), [slot.role]: variable });
      return variable;
    });
  const weights = declare(layout.parameters, given.weights);
  const running = declare(layout.running, given.running);
  const images = tf.tensor4d(given.images, [work.batch, 112, 112, 3], 'int32');
  const labels = tf.tensor1d(given.labels, 'int32');
  const optimizer = tf.train.momentum(LEARNING_RATE, OPTIMIZER.momentum);
  const loss = (runningShare: number) => () => {
    const pixels = tf.div(tf.sub(tf.div(images, 255), 0.5), 0.5) as Tensor4D;
    const embedding = forward(network.layers, network.output, { variables, pixels, runningShare });
    return arcface(embedding, variables.get(-1)?.head as unknown as Tensor2D, labels).asScalar();
  };
  return {
    batch: work.batch,
    step: () => {
      const { value, grads } = tf.variableGrads(loss(RUNNING_SHARE));
      tf.tidy(() => {
        const backbone = weights.slice(0, -1).map((variable) => grads[variable.name] as Tensor);
        const norm = tf.sqrt(tf.addN(backbone.map((gradient) => tf.sum(tf.square(gradient)))));
        const scale = tf.minimum(1, tf.div(OPTIMIZER.clipNorm, tf.add(norm, 1e-6)));
        const update = weights.map((variable, i) => {
          const gradient = grads[variable.name] as Tensor;
          const clipped = i < backbone.length ? tf.mul(gradient, scale) : gradient;
          const tensor = tf.add(clipped, tf.mul(variable, OPTIMIZER.weightDecay));
          return { name: variable.name, tensor };
        });
        optimizer.applyGradients(update);
      });
      tf.dispose([value, grads]);
    },
    check: () => {
      const kept = running.map((variable) => variable.clone());
      const { value, grads } = tf.variableGrads(loss(1));
      const parts = [...weights.map((variable) => grads[variable.name] as Tensor), ...running, value];
      const vector = tf.tidy(() => tf.concat(parts.map((part) => tf.reshape(part, [-1]))).dataSync());
      for (const [i, variable] of running.entries()) variable.assign(kept[i] as Tensor);
      tf.dispose([value, grads, kept]);
      return vector as Float32Array;
    },
    close: () => {},
  };
});

interface Pass {
  readonly variables: ReadonlyMap<number, LayerVariables>;
  readonly pixels: Tensor4D;
  readonly runningShare: number;
}

function forward(layers: readonly Layer[], output: number, pass: Pass): Tensor2D {
  const outputs: Tensor4D[] = [];
  for (const [index, layer] of layers.entries()) {
    const inputs = layer.inputs.map((input) => outputs[input] as Tensor4D);
    outputs.push(runLayer(layer, inputs, pass, pass.variables.get(index) ?? {}));
  }
  const last = outputs[output] as Tensor4D;
  return tf.reshape(last, [last.shape[0], -1]) as Tensor2D;
}

function runLayer(layer: Layer, inputs: Tensor4D[], pass: Pass, own: LayerVariables): Tensor4D {
  const x = inputs[0] as Tensor4D;
  const weight = own.weight as unknown as Tensor4D;
  switch (layer.kind) {
    case 'input':
      return pass.pixels;
    case 'conv':
      return tf.conv2d(pad(x, layer.padding), weight, layer.stride, 'valid');
    case 'depthwise':
      return tf.depthwiseConv2d(pad(x, layer.padding), weight, layer.stride, 'valid');
    case 'batchNorm':
      return batchNorm(x, own, pass.runningShare);
    case 'prelu':
      return tf.prelu(x, weight);
    case 'maxPool':
      return tf.maxPool(pad(x, layer.padding, LOWEST), layer.kernel, layer.stride, 'valid');
    case 'avgPool':
      return averagePool(x, layer);
    case 'crop':
      return tf.slice(x, [0, 1, 1, 0]);
    case 'add':
      return inputs.reduce((sum, input) => tf.add(sum, input));
    case 'concat':
      return tf.concat(inputs, 3);
    case 'flatten':
    case 'linear':
      throw new Error('the networks that are trained here have neither');
  }
}

function pad(x: Tensor4D, padding: number, value = 0): Tensor4D {
  if (padding === 0) return x;
  const sides: [number, number] = [padding, padding];
  return tf.pad(x, [[0, 0], sides, sides, [0, 0]], value);
}

/** The mean over the pixels inside the map: the sum of the window over how many there are. */
function averagePool(x: Tensor4D, layer: Extract<Layer, { kind: 'avgPool' }>): Tensor4D {
  const mean = (map: Tensor4D) => tf.avgPool(pad(map, layer.padding), layer.kernel, layer.stride, 'valid');
  const [, height, width] = x.shape;
  return tf.div(mean(x), mean(tf.ones([1, height, width, 1])));
}

function batchNorm(x: Tensor4D, own: LayerVariables, runningShare: number): Tensor4D {
  const { mean, variance } = tf.moments(x, [0, 1, 2]);
  const count = x.size / x.shape[3];
  move(own.running_mean as Variable, mean, runningShare);
  move(own.running_var as Variable, tf.mul(variance, count / (count - 1)), runningShare);
  const [scale, shift] = [own.weight, own.bias] as unknown as [Tensor1D, Tensor1D];
  return tf.batchNorm(x, mean as Tensor1D, variance as Tensor1D, shift, scale, EPSILON);
}

function move(variable: Variable, to: Tensor, share: number): void {
  variable.assign(tf.add(tf.mul(variable, 1 - share), tf.mul(to, share)));
}

/** embedding [N, E], kernel [E, K] -> mean loss. */
function arcface(embedding: Tensor2D, kernel: Tensor2D, labels: Tensor1D): Tensor {
  const cosines = tf.clipByValue(
    tf.matMul(tf.div(embedding, tf.norm(embedding, 2, 1, true)), tf.div(kernel, tf.norm(kernel, 2, 0, true))),
    -COSINE_MAX,
    COSINE_MAX,
  );
  const targets = tf.oneHot(labels, kernel.shape[1]).toFloat();
  const target = tf.sum(tf.mul(cosines, targets), 1, true); // [N, 1]
  const { scale, margin } = LOSS;
  const sine = tf.sqrt(tf.sub(1, tf.square(target)));
  const rotated = tf.sub(tf.mul(target, Math.cos(margin)), tf.mul(sine, Math.sin(margin)));
  // 1 where the angle and the margin stay below pi; a comparison has no gradient in TensorFlow.js.
  const inside = tf.step(tf.add(target, Math.cos(margin)));
  const outside = tf.mul(tf.sub(1, inside), tf.sub(target, margin * Math.sin(margin)));
  const withMargin = tf.add(tf.mul(inside, rotated), outside);
  const logits = tf.mul(tf.add(cosines, tf.mul(targets, tf.sub(withMargin, target))), scale);
  return tf.losses.softmaxCrossEntropy(targets, logits);
}
