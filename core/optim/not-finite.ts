// Which number of a step ceased to be finite first. One that did takes along whatever is computed from it, so that
// most of a vector may be NaN when one value was too large. Decides the order in which they are looked at: as they
// are computed, weights before the forward pass, its statistics layer by layer, the losses, then the gradients from
// the last layer to the first.

import { FleetError } from '../errors.ts';
import type { Layout, LOSS_COUNT, Slot } from '../nn/layout.ts';

/** What a value is and where it stands. */
interface Found {
  /** As a user knows it, `gradient of cells.0.dag.0.0.net.1.weight`. */
  readonly tensor: string;
  readonly value: number;
  /** Of the value in its vector. */
  readonly index: number;
}

/** What the vectors of a step hold, in words. */
interface Wording {
  /** `the gradient of`, `the change of`. */
  readonly gradient: string;
  /** ` in step 17`, or empty. */
  readonly at: string;
}

const LOSS_NAMES = ['loss', 'margin loss', 'distillation loss'] as const satisfies {
  length: typeof LOSS_COUNT;
};

/**
 * The failure of a step whose mean [P + S + 3] has a value that is not finite, as `outOfRange`; details: `step`,
 * `tensor`, `value`, `index`. `weights`: those that it was computed with.
 */
export function notFinite(
  layout: Layout,
  vectors: { readonly weights: Float32Array; readonly mean: Float32Array },
  step: number | undefined,
  { gradient, at }: Wording,
): FleetError {
  const found = firstNotFinite(layout, vectors, gradient);
  if (found === undefined)
    return new FleetError(
      'outOfRange',
      `the norm of what is summed is not finite${at}, though each of its values is`,
      { details: { step } },
    );
  return new FleetError(
    'outOfRange',
    `${found.tensor} is ${found.value}${at}; a smaller learning rate or clip norm usually cures this`,
    { details: { step, ...found } },
  );
}

function firstNotFinite(
  { parameters, running, parameterCount, runningCount }: Layout,
  { weights, mean }: { readonly weights: Float32Array; readonly mean: Float32Array },
  gradient: string,
): Found | undefined {
  const losses = parameterCount + runningCount;
  return (
    firstOf(weights, parameters, (slot) => slot.name) ??
    firstOf(
      mean.subarray(parameterCount, losses),
      running,
      (slot) => `the batch statistic for ${slot.name}`,
    ) ??
    lossOf(mean.subarray(losses)) ??
    firstOf(mean, [...parameters].reverse(), (slot) => `${gradient} ${slot.name}`)
  );
}

/** In the first slot that has one. */
function firstOf(
  values: Float32Array,
  slots: readonly Slot[],
  name: (slot: Slot) => string,
): Found | undefined {
  for (const slot of slots)
    for (let index = slot.offset; index < slot.offset + slot.size; index++)
      if (!Number.isFinite(values[index])) return { tensor: name(slot), value: values[index]!, index };
  return undefined;
}

function lossOf(losses: Float32Array): Found | undefined {
  const index = losses.findIndex((value) => !Number.isFinite(value));
  return index < 0 ? undefined : { tensor: `the ${LOSS_NAMES[index]!}`, value: losses[index]!, index };
}
