// The unweighted skip beside mixed edges, forward and backward, against a plain second implementation of a
// mixture: sums in double precision, the softmax's derivative written out.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forward } from '../../../core/nn/forward.ts';
import { layoutOf } from '../../../core/nn/layout.ts';
import { createBuilder, type LayerGraph, type SearchOperation } from '../../../core/nn/network.ts';
import { gradientsOf, type TensorFunction } from '../../../core/nn/step-function.ts';
import { uniforms } from '../../../core/rng.ts';
import { OPS } from '../../../core/spec/network.ts';
import { compileGraph } from '../../../core/tensor/graph/compiled.ts';
import { type Tensor, tf } from '../../../core/tensor/tf.ts';

/** Side of the pooled map. */
const MAP = 4;
const POOL = 112 / MAP;
const SIZE = MAP * MAP * 3;
const COLUMNS = ['skip_connect', 'max_pool_3x3', 'avg_pool_3x3'].map((op) => OPS.indexOf(op as 'none'));

/** Two edges from one pooled map, each with a skip and both pools; the alphas are two rows. */
function network(): LayerGraph {
  const builder = createBuilder<SearchOperation>();
  const module = 'cell';
  const window = { kernel: 3, stride: 1, padding: 1 };
  const add = (name: string, inputs: number[], operation: SearchOperation) =>
    builder.add({ name, module, inputs, operation });
  const x = add('x', [0], { kind: 'avgPool', kernel: POOL, stride: POOL, padding: 0 });
  const pools = [0, 1].flatMap((edge) => [
    add(`max.${edge}`, [x], { kind: 'maxPool', ...window }),
    add(`average.${edge}`, [x], { kind: 'avgPool', ...window }),
  ]);
  const mixed = add('node', [x, pools[0]!, pools[1]!, x, pools[2]!, pools[3]!], {
    kind: 'mix',
    terms: [0, 1].flatMap((row) => COLUMNS.map((column) => ({ row, column }))),
  });
  const output = add('flat', [mixed], { kind: 'flatten' });
  return { spec: { kind: 'test' }, layers: builder.layers, output, embedding: SIZE };
}

const images = Float32Array.from(uniforms(1, 'images', 112 * 112 * 3), (value) => 2 * value - 1);
const factors = Float32Array.from(uniforms(1, 'factors', SIZE), (value) => value - 0.5);
const alphas = Float32Array.from(uniforms(1, 'alphas', 2 * OPS.length), (value) => 3 * value);

/**
 * Loss sum(output K) with its gradients for alphas and images, and the maps that the mixture reads: [1 + 16 +
 * images + maps].
 */
const lossFunction = (graph: LayerGraph, hasSkip: boolean): TensorFunction => ({
  inputs: [
    { name: 'alphas', dtype: 'float32', shape: [alphas.length] },
    { name: 'images', dtype: 'float32', shape: [1, 112, 112, 3] },
    { name: 'factors', dtype: 'float32', shape: [SIZE] },
    ...(hasSkip ? [{ name: 'skip', dtype: 'float32' as const, shape: [1] }] : []),
  ],
  build: ([alphasIn, imagesIn, factorsIn, skip]) => {
    const { gradients, kept } = gradientsOf({
      tensors: [alphasIn as Tensor, imagesIn as Tensor],
      trainable: [true, true],
      run: (tensors) => {
        const { embedding, outputs } = forward({
          network: graph,
          layout: layoutOf(graph),
          parameters: [],
          alphas: tensors[0]!,
          images: tensors[1]!,
          auxiliarySkip: skip,
          fuse: false,
        });
        const loss = tf.sum(tf.mul(tf.reshape(embedding, [SIZE]), factorsIn as Tensor));
        // Channel by channel, as the flattened result is.
        const maps = [1, 2, 3].map((layer) => tf.transpose(outputs[layer] as Tensor, [0, 3, 1, 2]));
        return { loss, keep: [loss, ...maps] };
      },
    });
    const flat = [...kept.slice(0, 1), ...gradients, ...kept.slice(1)].map((one) => tf.reshape(one, [-1]));
    const vector = tf.concat(flat);
    tf.dispose(kept);
    return [vector];
  },
});

function run(skip: number | undefined): Float32Array {
  const graph = compileGraph({
    key: `auxiliary-skip/${skip !== undefined}`,
    ...lossFunction(network(), skip !== undefined),
  });
  try {
    return graph.run([alphas, images, factors, ...(skip === undefined ? [] : [Float32Array.of(skip)])])[0]!;
  } finally {
    graph.dispose();
  }
}

const parts = (vector: Float32Array) => {
  const maps = 1 + alphas.length + images.length;
  return {
    loss: vector[0]!,
    alphas: vector.subarray(1, 1 + alphas.length),
    images: vector.subarray(1 + alphas.length, maps),
    maps: COLUMNS.map((_, i) => vector.subarray(maps + i * SIZE, maps + (i + 1) * SIZE)),
  };
};

/** <map, K> in double precision. */
const dot = (map: Float32Array) => map.reduce((sum, value, i) => sum + value * factors[i]!, 0);

test('a mixture with an unweighted skip beside it is the plain sum, and so are its gradients', () => {
  const skip = 0.75;
  const got = parts(run(skip));
  const products = got.maps.map(dot);
  let loss = 0;
  const slopes: number[] = [];
  for (const edge of [0, 1]) {
    const row = [...alphas.subarray(edge * OPS.length, (edge + 1) * OPS.length)];
    const total = row.reduce((sum, value) => sum + Math.exp(value), 0);
    const shares = row.map((value) => Math.exp(value) / total);
    const worth = OPS.map((_, column) => products[COLUMNS.indexOf(column)] ?? 0);
    const mixed = shares.reduce((sum, share, column) => sum + share * worth[column]!, 0);
    loss += mixed + skip * products[0]!;
    slopes.push(...shares.map((share, column) => share * (worth[column]! - mixed)));
  }
  assert.ok(Math.abs(got.loss - loss) < 1e-6 * Math.max(1, Math.abs(loss)), `${got.loss}, ${loss}`);
  got.alphas.forEach((value, i) => {
    assert.ok(Math.abs(value - slopes[i]!) < 1e-6, `alpha ${i}: ${value}, ${slopes[i]}`);
  });
});

test('what the skip adds to the gradient of the map before it is its weight, whatever the alphas', () => {
  const [without, none, half] = [parts(run(undefined)), parts(run(0)), parts(run(0.5))];
  // Weight 0 is no skip, to the bit.
  assert.deepEqual(none, without);
  // Two edges of weight 0.5; the pool spreads each gradient over its 28 x 28 pixels.
  for (let i = 0; i < images.length; i += 97) {
    const [y, x, channel] = [Math.floor(i / 336), Math.floor(i / 3) % 112, i % 3];
    const place = channel * MAP * MAP + Math.floor(y / POOL) * MAP + Math.floor(x / POOL);
    const want = (2 * 0.5 * factors[place]!) / POOL ** 2;
    const difference = half.images[i]! - none.images[i]!;
    assert.ok(Math.abs(difference - want) < 1e-8, `pixel ${i}: ${difference}, ${want}`);
  }
});
