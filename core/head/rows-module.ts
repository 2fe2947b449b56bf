// The update of a class shard's rows (rows.ts) as a StableHLO module, for rows that stay on a device: the same arithmetic,
// bit by bit, and the same answer to a gradient that is not finite: nothing is changed, and the caller learns of it.

import { constant, product, split } from '../optim/exact-products.ts';
import type { OptimizerOptions } from '../optim/sgd.ts';
import type { Ref } from '../tensor/lowering/literals.ts';
import type { LoweredModule } from '../tensor/lowering/lower.ts';
import { ModuleText } from '../tensor/lowering/module-text.ts';
import { moduleText } from '../tensor/lowering/whole-module.ts';

/**
 * Arguments: weights, momentum and gradient of `values` float32, of all rows, then the scalars in float64: what the gradient
 * is multiplied by, a power of two, and the learning rate. Results: weights and momentum in the memory of the first two,
 * and one number that is 1 where the gradient is finite. Denormal numbers count as zero where the device takes them so.
 */
export function rowsModule(values: number, optimizer: OptimizerOptions): LoweredModule {
  const text = new ModuleText();
  const shape = [values];
  const argument = (index: number, element: 'f32' | 'f64', of: number[]): Ref => ({
    name: `%arg${index}`,
    element,
    shape: of,
  });
  const [weights, momentum, gradient] = [0, 1, 2].map((index) => argument(index, 'f32', shape)) as [
    Ref,
    Ref,
    Ref,
  ];
  const [scale, rate] = [argument(3, 'f64', []), argument(4, 'f64', [])];
  const finite = text.reduce(
    'and',
    text.generic({ op: 'is_finite', operands: [gradient], attributes: {}, element: 'i1', shape }),
    [0],
  );
  const inner = text.binary(
    'add',
    product(text, split(text, scale), gradient),
    product(text, constant(text, optimizer.weightDecay), weights),
  );
  const moved = withoutMinusZero(
    text,
    text.convert(
      text.binary('add', product(text, constant(text, optimizer.momentum), momentum), inner),
      'f32',
    ),
  );
  const stepped = withoutMinusZero(
    text,
    text.convert(
      text.binary('subtract', text.convert(weights, 'f64'), product(text, split(text, rate), moved)),
      'f32',
    ),
  );
  const everywhere = text.broadcast(finite, shape);
  const outputs = [
    text.select(everywhere, stepped, weights),
    text.select(everywhere, moved, momentum),
    text.reshape(text.convert(finite, 'f32'), [1]),
  ];
  const inputs = [weights, momentum, gradient, scale, rate];
  const donated = new Map([
    [0, 0],
    [1, 1],
  ]);
  return {
    text: moduleText({ inputs, outputs, lines: text.lines, donated }),
    inputs: inputs.map(({ element, shape: of }) => ({ element, shape: of })),
    outputs: outputs.map(({ element, shape: of }) => ({ element, shape: of })),
  };
}

/** Zero has one sign in rows (rows.ts). */
function withoutMinusZero(text: ModuleText, value: Ref): Ref {
  const zero = text.splat(0, 'f32', value.shape);
  return text.select(text.compare('EQ', value, zero), zero, value);
}
