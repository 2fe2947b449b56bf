// How much of the full evaluation a candidate gets: some of its epochs, some of the images, or some of the channels.
// Decides how such amounts are compared and worded, and what a network of some of the channels is.

import type { StrategySpec } from '../../core/spec/strategy.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';

/** One of four; what is absent is as in the full evaluation. */
export interface Fidelity {
  /** The run of the full schedule is judged at the end of this stage. */
  readonly epochs?: number;
  /** Part of the images of the full evaluation, (0, 1). */
  readonly images?: number;
  /** Part of its channels, (0, 1). */
  readonly width?: number;
  /** It is not trained: its weights are those of a search network, and its statistics those of so many batches. */
  readonly inherited?: number;
}

/** What a search with rungs has less of at the lower ones. */
export type FidelityKind = keyof Fidelity;

/** What grows from rung to rung; of one-shot what its evaluations have in place of training. */
export const fidelityKindOf = (strategy: StrategySpec): FidelityKind =>
  strategy.kind === 'one-shot'
    ? 'inherited'
    : 'fidelity' in strategy
      ? (strategy.fidelity ?? 'epochs')
      : 'epochs';

/** The amount, whatever it is of: within one search more is closer to the full evaluation. 0 without training. */
export const amountOf = ({ epochs, images, width }: Fidelity): number => epochs ?? images ?? width ?? 0;

/** Whether two evaluations get the same. */
export const isSameFidelity = (a: Fidelity = {}, b: Fidelity = {}): boolean =>
  a.epochs === b.epochs && a.images === b.images && a.width === b.width && a.inherited === b.inherited;

/** ` after 3 of 9 epochs`, ` on 0.25 of the images`, ` at 0.5 of the width`, ` with inherited weights`. */
export function fidelityText(
  { epochs, images, width, inherited }: Fidelity,
  { evaluation }: SweepSpec,
): string {
  if (inherited !== undefined) return ' with inherited weights';
  if (images !== undefined) return ` on ${images} of the images`;
  if (width !== undefined) return ` at ${width} of the width`;
  return ` after ${epochs} of ${evaluation.training.epochs} epochs`;
}

/** The channels of a part of the width: an even number, at least 2. */
export const channelsAt = (channels: number, width: number): number =>
  Math.max(2, 2 * Math.round((channels * width) / 2));

/** The space of a sweep in which its candidates are evaluated at this fidelity. */
export function spaceAt({ space }: Pick<SweepSpec, 'space'>, { width }: Fidelity = {}): SweepSpec['space'] {
  return width === undefined ? space : { ...space, channels: channelsAt(space.channels, width) };
}
