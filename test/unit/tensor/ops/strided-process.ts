// Runs a strided 1x1 convolution with its gradients as a compiled graph many times and prints `done`: in a
// process of its own, because the fault it looks for ends the process. Arguments: channels in, channels out.

import { compileGraph } from '../../../../core/tensor/graph/compiled.ts';
import { conv2d, depthwiseConv2d } from '../../../../core/tensor/ops/ops.ts';
import { type Scalar, tf } from '../../../../core/tensor/tf.ts';
import { numbers } from '../../../support/tensors.ts';

/** The fault showed within 40 runs. */
const RUNS = 120;

const [from = 8, to = 4] = process.argv.slice(2).map(Number);
const map = [8, 56, 56, from];
const graph = compileGraph({
  key: 'strided',
  inputs: [
    { name: 'x', dtype: 'float32', shape: map },
    { name: 'kernel', dtype: 'float32', shape: [1, 1, from, to] },
    { name: 'depthwise', dtype: 'float32', shape: [1, 1, from, 1] },
  ],
  build: (inputs) =>
    tf.grads((x, kernel, depthwise) => {
      const plain = tf.sum(tf.square(conv2d(x!, kernel!, 2)));
      return tf.add(plain, tf.sum(tf.square(depthwiseConv2d(x!, depthwise!, 2)))) as Scalar;
    })(inputs),
});
const arrays = [numbers(8 * 56 * 56 * from), numbers(from * to), numbers(from)];
for (let run = 0; run < RUNS; run++) graph.run(arrays);
graph.dispose();
console.log('done');
