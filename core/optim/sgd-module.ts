// The optimiser's update as a StableHLO module, for state that stays on a device: the same arithmetic as applyStep,
// bit by bit, whatever the compiler does with it (exact-products.ts).
//
// Legend: P parameters, S running statistics.

import type { Layout } from '../nn/layout.ts';
import type { Ref } from '../tensor/lowering/literals.ts';
import type { LoweredModule } from '../tensor/lowering/lower.ts';
import { ModuleText } from '../tensor/lowering/module-text.ts';
import { moduleText } from '../tensor/lowering/whole-module.ts';
import { constant, type Factor, product, split } from './exact-products.ts';
import { type OptimizerOptions, RUNNING_SHARE } from './sgd.ts';

/**
 * Arguments: weights [P], momentum [P], running [S], mean [P + S + 3], then the scalars in float64: the factor of
 * the backbone's gradient (assessStep) and the learning rate. Results: weights, momentum, running, in the memory of
 * the first three arguments. Denormal numbers count as zero where the device takes them so.
 */
export function updateModule(layout: Layout, optimizer: OptimizerOptions): LoweredModule {
  const { parameterCount: p, runningCount: s, vectorCount } = layout;
  const text = new ModuleText();
  const argument = (index: number, shape: number[], element: 'f32' | 'f64'): Ref => ({
    name: `%arg${index}`,
    element,
    shape,
  });
  const weights = argument(0, [p], 'f32');
  const momentum = argument(1, [p], 'f32');
  const running = argument(2, [s], 'f32');
  const mean = argument(3, [vectorCount], 'f32');
  const scale = argument(4, [], 'f64');
  const rate = argument(5, [], 'f64');

  const gradient = text.slice(mean, [0], [p]);
  const inner = text.binary(
    'add',
    product(text, ofBackbone(text, split(text, scale), layout), gradient),
    product(text, constant(text, optimizer.weightDecay), weights),
  );
  const moved = text.convert(
    text.binary('add', product(text, constant(text, optimizer.momentum), momentum), inner),
    'f32',
  );
  const stepped = text.convert(
    text.binary('subtract', text.convert(weights, 'f64'), product(text, split(text, rate), moved)),
    'f32',
  );
  const frozen = frozenPlaces(text, layout);
  const kept = (old: Ref, changed: Ref) => (frozen === null ? changed : text.select(frozen, old, changed));
  const outputs = [
    kept(weights, stepped),
    kept(momentum, moved),
    text.convert(
      text.binary(
        'add',
        product(text, constant(text, 1 - RUNNING_SHARE), running),
        product(text, constant(text, RUNNING_SHARE), text.slice(mean, [p], [p + s])),
      ),
      'f32',
    ),
  ];
  const inputs = [weights, momentum, running, mean, scale, rate];
  const donated = new Map(outputs.map((_, index) => [index, index]));
  return {
    text: moduleText({ inputs, outputs, lines: text.lines, donated }),
    inputs: inputs.map(({ element, shape }) => ({ element, shape })),
    outputs: outputs.map(({ element, shape }) => ({ element, shape })),
  };
}

/** A factor of the backbone's places [P]; the others have 1, because a head is not clipped. */
function ofBackbone(text: ModuleText, { upper, lower }: Factor, layout: Layout): Factor {
  const { parameterCount, backboneCount } = layout;
  if (backboneCount === parameterCount) return { upper, lower };
  const shape = [parameterCount];
  const inside = text.compare('LT', text.iota(0, 'i32', shape), text.splat(backboneCount, 'i32', shape));
  const choose = (part: Ref, other: number) =>
    text.select(inside, text.broadcast(part, shape), text.splat(other, 'f64', shape));
  return { upper: choose(upper, 1), lower: choose(lower, 0) };
}

/** Truth values [P] of the places that are not trained, or null where all are. */
function frozenPlaces(text: ModuleText, { parameters, parameterCount }: Layout): Ref | null {
  const shape = [parameterCount];
  const place = text.iota(0, 'i32', shape);
  const within = parameters
    .filter(({ trainable, size }) => !trainable && size > 0)
    .map(({ offset, size }) =>
      text.binary(
        'and',
        text.compare('GE', place, text.splat(offset, 'i32', shape)),
        text.compare('LT', place, text.splat(offset + size, 'i32', shape)),
      ),
    );
  return within.length === 0 ? null : within.reduce((any, one) => text.binary('or', any, one));
}
