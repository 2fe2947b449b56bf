// From embeddings of held-out images to the numbers of a verification: distances, the receiver operating
// characteristic (ROC) over every distinct distance, the true accept rate (TAR) at a false accept rate (FAR),
// the equal error rate (EER) and the area under the curve (AUC). Decides the conventions; golden fixtures
// (`protocol`) hold figures of the reference for them. Arithmetic is double.

import { FleetError } from '../errors.ts';
import { kfoldAccuracy, type LabelledDistances } from './kfold.ts';
import type { Pair } from './pairs.ts';

/**
 * Points of the curve in rising order, from (0, 0) to (1, 1): for each distinct distance t, all pairs with
 * distance <= t are accepted.
 */
export interface Roc {
  readonly fpr: number[];
  readonly tpr: number[];
}

/** The result of verifying pairs; rates 0..1. */
export interface Verification {
  /** Mean accuracy over folds, and its population standard deviation. */
  readonly accuracy: number;
  readonly accuracyStd: number;
  /** For each pair, whether the threshold of its fold judges it rightly. */
  readonly right: readonly boolean[];
  /** Mean of the folds' thresholds on the squared distance. */
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
 * Verifies pairs by the PocketNet protocol: the raw embeddings of an image and of its mirror image are added,
 * brought to unit length and compared by squared distance. Both arrays are flat, [images, size].
 */
export function evaluatePairs(options: {
  embeddings: Float32Array;
  flippedEmbeddings: Float32Array;
  pairs: readonly Pair[];
  folds?: number;
  /** Length of an embedding, which a flat array does not contain. */
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

/** Sums of raw embeddings and those of the mirror images, at unit length, in double; [images, size]. */
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
    // A zero embedding has no direction. Left at zero it is at distance 1 from every other, where a division
    // would give NaN.
    const scale = square === 0 ? 0 : 1 / Math.sqrt(square);
    for (let i = row; i < row + size; i++) units[i]! *= scale;
  }
  return units;
}

/** Squared Euclidean distance of rows a and b, 0..4 for unit rows. */
export function squaredDistance(units: Float64Array, a: number, b: number, size: number): number {
  let sum = 0;
  for (let i = 0; i < size; i++) sum += (units[a * size + i]! - units[b * size + i]!) ** 2;
  return sum;
}

/** The curve over every distinct distance. */
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

/**
 * The point whose FPR is nearest the target, as IJB reads it; of equally near ones that with the larger FPR,
 * then the larger TPR.
 */
export function tarNearest(roc: Roc, target: number): { tar: number; far: number } {
  let best = 0;
  roc.fpr.forEach((far, i) => {
    // Points rise in both rates, so <= takes the last of equally near ones.
    if (Math.abs(far - target) <= Math.abs(roc.fpr[best]! - target)) best = i;
  });
  return { tar: roc.tpr[best]!, far: roc.fpr[best]! };
}

/** The largest TPR whose FPR does not exceed the target. */
export function tarAtMost(roc: Roc, target: number): { tar: number; far: number } {
  const last = roc.fpr.findLastIndex((far) => far <= target);
  return { tar: roc.tpr[last]!, far: roc.fpr[last]! };
}

/** The FPR at which FPR = 1 - TPR, interpolated linearly between points. */
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

/** Area under the curve, by trapezoids. */
export function areaUnder(roc: Roc): number {
  let area = 0;
  for (let i = 1; i < roc.fpr.length; i++)
    area += ((roc.fpr[i]! - roc.fpr[i - 1]!) * (roc.tpr[i]! + roc.tpr[i - 1]!)) / 2;
  return area;
}
