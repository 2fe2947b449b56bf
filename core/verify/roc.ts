// From embeddings of held-out images to the numbers of a verification: distances, the ROC over every distinct distance, TAR
// at FAR, EER, AUC, and the whole report. Decides the conventions (golden fixtures, `protocol`); folds are kfold.ts', which pairs
// are compared is pairs.ts', and who computes the embeddings does not matter here.

import { FleetError } from '../errors.ts';
import { kfoldAccuracy, type LabelledDistances } from './kfold.ts';
import type { Pair } from './pairs.ts';

/** Points of the curve in rising order, from (0,0) to (1,1): accept every distance <= t for each distinct t. */
export interface Roc {
  readonly fpr: number[];
  readonly tpr: number[];
}

export interface Verification {
  /** Mean accuracy over folds, and its population standard deviation. */
  readonly accuracy: number;
  readonly accuracyStd: number;
  /** Of each pair: whether it was judged rightly by the threshold of its fold; `accuracy` counts these. */
  readonly right: readonly boolean[];
  /** Mean of the folds' thresholds: where an example counts as the same person. */
  readonly threshold: number;
  readonly auc: number;
  readonly eer: number;
  /** Largest TAR with FAR <= 1e-2. */
  readonly tarAtFar: number;
  readonly fpr: number[];
  readonly tpr: number[];
  /** Squared distance of each pair, in the order of the pairs. */
  readonly distances: Float64Array;
}

/**
 * Verifies pairs by the PocketNet protocol: the raw embeddings of an image and of its mirror image are added, brought to unit
 * length, and compared by squared distance. `embeddings` are one flat array [images, size], as are the mirrored ones.
 */
export function evaluatePairs(options: {
  embeddings: Float32Array;
  flippedEmbeddings: Float32Array;
  pairs: readonly Pair[];
  folds?: number;
  /** Numbers an embedding; needed because a flat array does not tell. */
  embeddingSize: number;
}): Verification {
  const { pairs, folds = 10, embeddingSize } = options;
  const units = unitSums(options.embeddings, options.flippedEmbeddings, embeddingSize);
  const distances = Float64Array.from(pairs, (pair) => squaredDistance(units, pair.a, pair.b, embeddingSize));
  const labelled: LabelledDistances = { distances, same: pairs.map((pair) => pair.same) };
  const accuracy = kfoldAccuracy(labelled, folds);
  const roc = rocOf(labelled);
  return {
    accuracy: accuracy.mean,
    accuracyStd: accuracy.std,
    right: accuracy.right,
    threshold: accuracy.thresholds.reduce((a, b) => a + b, 0) / folds,
    auc: areaUnder(roc),
    eer: equalErrorRate(roc),
    tarAtFar: tarAtMost(roc, 1e-2).tar,
    ...roc,
    distances,
  };
}

/** Unit-length sums of raw embeddings and their mirrored twins, in double precision; [images, size]. */
export function unitSums(raw: ArrayLike<number>, mirrored: ArrayLike<number>, size: number): Float64Array {
  if (raw.length !== mirrored.length || raw.length % size !== 0)
    throw new FleetError(
      'invalidArgument',
      `${raw.length} numbers of embeddings and ${mirrored.length} of mirrored ones do not both make rows of ${size}`,
    );
  const units = new Float64Array(raw.length);
  for (let row = 0; row < raw.length; row += size) {
    let square = 0;
    for (let i = row; i < row + size; i++) {
      units[i] = raw[i]! + mirrored[i]!;
      square += units[i]! ** 2;
    }
    if (!Number.isFinite(square))
      throw new FleetError('outOfRange', `the embedding of image ${row / size} is not finite`);
    // A zero embedding has no direction; leaving it at zero puts it at distance 1 from everything instead of NaN.
    const scale = square === 0 ? 0 : 1 / Math.sqrt(square);
    for (let i = row; i < row + size; i++) units[i]! *= scale;
  }
  return units;
}

export function squaredDistance(units: Float64Array, a: number, b: number, size: number): number {
  let sum = 0;
  for (let i = 0; i < size; i++) sum += (units[a * size + i]! - units[b * size + i]!) ** 2;
  return sum;
}

export function rocOf(pairs: LabelledDistances): Roc {
  const order = Array.from(pairs.same, (_, i) => i).sort((a, b) => pairs.distances[a]! - pairs.distances[b]!);
  const genuine = pairs.same.filter(Boolean).length;
  const impostors = pairs.same.length - genuine;
  if (genuine === 0 || impostors === 0)
    throw new FleetError(
      'invalidArgument',
      `${genuine} genuine and ${impostors} impostor pairs; a ROC needs both`,
    );
  const fpr = [0];
  const tpr = [0];
  let trueAccepts = 0;
  let falseAccepts = 0;
  order.forEach((pair, position) => {
    if (pairs.same[pair]) trueAccepts += 1;
    else falseAccepts += 1;
    const next = order[position + 1];
    if (next !== undefined && pairs.distances[next] === pairs.distances[pair]) return;
    fpr.push(falseAccepts / impostors);
    tpr.push(trueAccepts / genuine);
  });
  return { fpr, tpr };
}

/** The point whose FPR is nearest the target (IJB style); on ties the larger FPR, and then the larger TPR. */
export function tarNearest(roc: Roc, target: number): { tar: number; far: number } {
  let best = 0;
  roc.fpr.forEach((far, i) => {
    // Points rise in both rates, so "at least as near" takes the larger of equals.
    if (Math.abs(far - target) <= Math.abs(roc.fpr[best]! - target)) best = i;
  });
  return { tar: roc.tpr[best]!, far: roc.fpr[best]! };
}

/** The largest TPR whose FPR does not exceed the target. */
export function tarAtMost(roc: Roc, target: number): { tar: number; far: number } {
  const last = roc.fpr.findLastIndex((far) => far <= target);
  return { tar: roc.tpr[last]!, far: roc.fpr[last]! };
}

/** FPR where FPR = 1 - TPR, linear between points. */
export function equalErrorRate(roc: Roc): number {
  for (let i = 1; i < roc.fpr.length; i++) {
    const after = roc.fpr[i]! - (1 - roc.tpr[i]!);
    if (after < 0) continue;
    const before = roc.fpr[i - 1]! - (1 - roc.tpr[i - 1]!);
    const part = before === after ? 0 : -before / (after - before);
    return roc.fpr[i - 1]! + part * (roc.fpr[i]! - roc.fpr[i - 1]!);
  }
  return 1;
}

/** Trapezoids over the curve. */
export function areaUnder(roc: Roc): number {
  let area = 0;
  for (let i = 1; i < roc.fpr.length; i++)
    area += ((roc.fpr[i]! - roc.fpr[i - 1]!) * (roc.tpr[i]! + roc.tpr[i - 1]!)) / 2;
  return area;
}
