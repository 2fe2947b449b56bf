// Rules against searches that collapse to skip connections. Weights train alone for some epochs first (Chen et
// al., "Progressive DARTS", 2019). An unweighted skip beside each mixed edge, which fades out, takes from skips
// the advantage that they have early on (Chu et al., "DARTS-", 2020). A search ends once its decoded normal cell
// has had too many skips for some time (Liang et al., "DARTS+", 2019).
//
// That last rule waits, because many skips early on are no collapse: in the published search the normal cell is
// mostly skips after epoch 2, and they give way from epoch 12 on (reference facts 2.3).

import type { Genotype } from '../spec/network.ts';
import type { RunSpec } from '../spec/run.ts';

/** warm-up: only weights move in this 0-based epoch. search: alphas too. */
export function phaseOf(
  { warmUpEpochs }: { readonly warmUpEpochs: number },
  epoch: number,
): 'warm-up' | 'search' {
  return epoch < warmUpEpochs ? 'warm-up' : 'search';
}

/** Number of skip connections in the normal cell. */
export function skipConnections(genotype: Genotype): number {
  return genotype.normal.flat().filter(([op]) => op === 'skip_connect').length;
}

/** When a search ends early. */
export interface StopRule {
  /** Most skip connections that are wanted among the eight edges of the decoded normal cell. */
  readonly skipsMax: number;
  /** Epochs before which nothing stops; absent: half of the search's. */
  readonly after?: number | undefined;
  /** Epochs in a row with too many skips that it takes, at least 1. */
  readonly for: number;
}

/** Whether a search ends, and why. */
export type StopDecision = { readonly stop: false } | { readonly stop: true; readonly reason: string };

/**
 * Whether the search ends after its latest epoch. `skips`: of the decoded normal cell after each epoch so far.
 * It takes `for` epochs in a row above the limit, the last of them with no fewer skips than the first, and more
 * than `after` epochs. Epochs of the warm-up do not count, because the alphas are still their random initial
 * values.
 */
export function stopAfter(options: {
  readonly rule: StopRule | undefined;
  readonly epochs: number;
  readonly warmUpEpochs: number;
  readonly skips: readonly number[];
}): StopDecision {
  const { rule, epochs, warmUpEpochs, skips } = options;
  if (rule === undefined) return { stop: false };
  const { skipsMax, after = Math.floor(epochs / 2) } = rule;
  const row = skips.slice(warmUpEpochs).slice(-rule.for);
  const hasCollapsed =
    skips.length > after &&
    row.length === rule.for &&
    row.every((count) => count > skipsMax) &&
    row.at(-1)! >= row[0]!;
  if (!hasCollapsed) return { stop: false };
  const since = rule.for === 1 ? '' : `, for ${rule.for} epochs in a row more than wanted and not falling`;
  return {
    stop: true,
    reason: `the normal cell has ${row.at(-1)} skip connections after epoch ${skips.length}${since}; at most ${skipsMax} are wanted`,
  };
}

/**
 * Why a search of this spec ends with its stage `stage`; undefined where it goes on, or where that stage is its last
 * one. `skipsOf`: of the decoded normal cell by stage; NaN where it is not known, which is no stage with too many.
 */
export function earlyEnd(
  { search, training }: Pick<RunSpec, 'search' | 'training'>,
  stage: number,
  skipsOf: (stage: number) => number,
): string | undefined {
  if (search?.stop === undefined || stage >= training.epochs) return undefined;
  const { stop: rule, warmUpEpochs } = search;
  const skips = Array.from({ length: stage }, (_, i) => skipsOf(i + 1));
  const decision = stopAfter({ rule, epochs: training.epochs, warmUpEpochs, skips });
  return decision.stop ? decision.reason : undefined;
}

/** Weight of the unweighted skip in the first epoch and in the last. */
export interface AuxiliarySkip {
  readonly from: number;
  readonly to: number;
}

/** Its weight in a 0-based epoch: on a straight line over the epochs; 0 without one. */
export function auxiliaryWeight(skip: AuxiliarySkip | undefined, epoch: number, epochs: number): number {
  if (skip === undefined) return 0;
  return epochs < 2 ? skip.from : skip.from + ((skip.to - skip.from) * epoch) / (epochs - 1);
}
