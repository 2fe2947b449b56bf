// The two functions of a class shard's part in a step, which workers compile: statistics of its logits, from
// those of all shards the gradients of its classes and of the embeddings, nothing else. Decides the
// arithmetic of ArcFace when no shard sees all classes: that of core/loss/arcface.ts, with a softmax that is
// put together from parts.
//
// The softmax needs a maximum and a sum over all classes. Shard k gives its own maximum m_k and S_k = sum of
// exp(z - m_k); all V pairs are then known to everybody, m = max m_k and S = sum of S_k exp(m_k - m), in one
// graph and hence in one order.
//
// Legend: B images of the batch, b of one shard, E embedding, n classes of the shard that take part, V
// shards.

import { arcfaceLogits, type Margin } from '../loss/arcface.ts';
import { oneHot } from '../loss/softmax.ts';
import { type FunctionInput, gradientsOf, type TensorFunction } from '../nn/step-function.ts';
import { concatFlat } from '../tensor/flat.ts';
import { type Tensor, tf } from '../tensor/tf.ts';
import { type HeadShape, STATISTICS } from './classes.ts';

/** Inputs: unit [B, E], rows [n, E], places [B] (of the label among the rows, or -1). Output: [3 B]. */
export function headStatistics(shape: HeadShape): TensorFunction {
  return {
    inputs: headInputs(shape),
    build: ([unit, rows, places]) => {
      const targets = oneHot(places as Tensor, shape.classes);
      const logits = logitsOf(unit as Tensor, rows as Tensor, targets, shape.loss); // [B, n]
      const maxima = tf.max(logits, 1, true); // [B, 1]
      const sums = tf.sum(tf.exp(tf.sub(logits, maxima)), 1);
      return [concatFlat([maxima, sums, tf.sum(tf.mul(logits, targets), 1)])];
    },
  };
}

/**
 * Inputs: as above and statistics [V, 3 B] of all shards. Outputs: gradient [n, E] of the sum over all images
 * of loss / b, its gradient for the unit embeddings [B, E] as far as it comes from these classes, and the
 * losses [B].
 */
export function headGradients(shape: HeadShape): TensorFunction {
  const { batch, shards, classes, loss } = shape;
  const statisticsInput: FunctionInput = {
    name: 'statistics',
    dtype: 'float32',
    shape: [shards, STATISTICS * batch],
  };
  return {
    inputs: [...headInputs(shape), statisticsInput],
    build: ([unit, rows, places, statistics]) => {
      const [maxima, sums, targetLogits] = [0, 1, 2].map((i) =>
        tf.slice(statistics as Tensor, [0, i * batch], [shards, batch]),
      ) as [Tensor, Tensor, Tensor]; // [V, B]
      const maximum = tf.max(maxima, 0, true); // [1, B]
      const sum = tf.sum(tf.mul(sums, tf.exp(tf.sub(maxima, maximum))), 0, true); // [1, B]
      const targetLogit = tf.sum(targetLogits, 0, true); // [1, B]
      const losses = tf.sub(tf.log(sum), tf.sub(targetLogit, maximum));

      const targets = oneHot(places as Tensor, classes);
      const logits = logitsOf(unit as Tensor, rows as Tensor, targets, loss); // [B, n]
      const asColumn = (row: Tensor) => tf.reshape(row, [batch, 1]);
      const probabilities = tf.div(tf.exp(tf.sub(logits, asColumn(maximum))), asColumn(sum));
      const slopes = tf.div(tf.sub(probabilities, targets), batch / shards); // [B, n]
      const { gradients } = gradientsOf({
        tensors: [unit as Tensor, rows as Tensor],
        trainable: [true, true],
        run: ([u, r]) => ({
          loss: tf.sum(tf.mul(slopes, logitsOf(u as Tensor, r as Tensor, targets, loss))),
          keep: [],
        }),
      });
      return [concatFlat([gradients[1]!]), concatFlat([gradients[0]!]), concatFlat([losses])];
    },
  };
}

const headInputs = ({ batch, embedding, classes }: HeadShape): FunctionInput[] => [
  { name: 'unit', dtype: 'float32', shape: [batch, embedding] },
  { name: 'rows', dtype: 'float32', shape: [classes, embedding] },
  { name: 'places', dtype: 'int32', shape: [batch] },
];

/** A place of -1 is a row of zeros among the targets: no margin anywhere. */
function logitsOf(unit: Tensor, rows: Tensor, targets: Tensor, loss: Margin): Tensor {
  return arcfaceLogits(unit, tf.transpose(rows), targets, loss);
}
