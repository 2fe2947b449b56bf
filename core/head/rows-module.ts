// The update of a class shard's rows (rows.ts) as a StableHLO module, for rows that stay on a device: the same
// arithmetic, bit by bit, and the same answer to a gradient that is not finite: nothing is changed, and the caller
// learns of it. And the copy of the rows that take part in a step, where not all do.

import { constant, product, split } from '../optim/exact-products.ts';
import type { OptimizerOptions } from '../optim/sgd.ts';
import type { Ref } from '../tensor/lowering/literals.ts';
import type { LoweredModule } from '../tensor/lowering/lower.ts';
import { ModuleText } from '../tensor/lowering/module-text.ts';
import { moduleText } from '../tensor/lowering/whole-module.ts';

/** Rows of a class shard, and how many of them take part in a step. */
export interface RowsShape {
  readonly count: number;
  readonly embedding: number;
  /** At most `count`. */
  readonly chosen: number;
}

/** Arguments: weights [count E] and the numbers of rows, int32 [chosen]. Result: these rows [chosen E]. */
export function chosenRowsModule({ count, embedding, chosen }: RowsShape): LoweredModule {
  const text = new ModuleText();
  const weights = argument(0, 'f32', [count * embedding]);
  const numbers = argument(1, 'i32', [chosen]);
  const rows = text.gather(text.reshape(weights, [count, embedding]), numbers, 0);
  return moduleOf(text, [weights, numbers], [text.reshape(rows, [chosen * embedding])]);
}

/**
 * Arguments: weights and momentum [count E], the gradient [chosen E], where not all rows take part the place of each
 * row among those that do, int32 [count], or -1; then the scalars in float64: what the gradient is multiplied by, a
 * power of two, and the learning rate. Results: weights and momentum in the memory of the first two, and one number
 * that is 1 where the gradient is finite. Denormal numbers count as zero where the device takes them so.
 */
export function rowsModule(rows: RowsShape, optimizer: OptimizerOptions): LoweredModule {
  const { count, embedding, chosen } = rows;
  const text = new ModuleText();
  const shape = [count * embedding];
  const isPartial = chosen < count;
  const [weights, momentum] = [argument(0, 'f32', shape), argument(1, 'f32', shape)];
  const gradient = argument(2, 'f32', [chosen * embedding]);
  const places = isPartial ? [argument(3, 'i32', [count])] : [];
  const [scale, rate] = [0, 1].map((i) => argument(3 + places.length + i, 'f64', [])) as [Ref, Ref];
  const finite = text.reduce(
    'and',
    text.generic({
      ...{ op: 'is_finite', operands: [gradient], attributes: {} },
      ...{ element: 'i1', shape: gradient.shape },
    }),
    [0],
  );
  const spread = places.map((place) => spreadRows(text, rows, { gradient, place }));
  const inner = text.binary(
    'add',
    product(text, split(text, scale), spread[0]?.gradient ?? gradient),
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
  const moves = spread.reduce((all, { takesPart }) => text.binary('and', all, takesPart), everywhere);
  const outputs = [
    text.select(moves, stepped, weights),
    text.select(moves, moved, momentum),
    text.reshape(text.convert(finite, 'f32'), [1]),
  ];
  return moduleOf(text, [weights, momentum, gradient, ...places, scale, rate], outputs, [0, 1]);
}

const argument = (index: number, element: Ref['element'], shape: number[]): Ref => ({
  name: `%arg${index}`,
  element,
  shape,
});

/** `donated`: arguments whose memory the first results take, in order. */
function moduleOf(
  text: ModuleText,
  inputs: readonly Ref[],
  outputs: readonly Ref[],
  donated: readonly number[] = [],
): LoweredModule {
  const facts = ({ element, shape }: Ref) => ({ element, shape });
  return {
    text: moduleText({ inputs, outputs, lines: text.lines, donated: new Map(donated.entries()) }),
    inputs: inputs.map(facts),
    outputs: outputs.map(facts),
  };
}

/** The gradient at the places of all rows, with any values at those that take no part, and which do; [count E] each. */
function spreadRows(
  text: ModuleText,
  { count, embedding, chosen }: RowsShape,
  { gradient, place }: { readonly gradient: Ref; readonly place: Ref },
) {
  const zero = text.splat(0, 'i32', [count]);
  const known = text.compare('GE', place, zero);
  const all = text.gather(
    text.reshape(gradient, [chosen, embedding]),
    text.binary('maximum', place, zero),
    0,
  );
  return {
    gradient: text.reshape(all, [count * embedding]),
    takesPart: text.reshape(text.broadcastInto(known, [count, embedding], [0]), [count * embedding]),
  };
}

/** Zero has one sign in rows (rows.ts). */
function withoutMinusZero(text: ModuleText, value: Ref): Ref {
  const zero = text.splat(0, 'f32', value.shape);
  return text.select(text.compare('EQ', value, zero), zero, value);
}
