// Checks core/verify against the fixture of verification numbers: every rule of its `protocol`, case by case. Decides the
// comparison only; the numbers and tolerances are the fixture's (1e-12, and 1e-9 for interpolated thresholds).

import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { kfoldAccuracy, kfoldTarAtFar, type LabelledDistances } from '../../core/verify/kfold.ts';
import {
  areaUnder,
  equalErrorRate,
  rocOf,
  squaredDistance,
  tarAtMost,
  tarNearest,
  unitSums,
} from '../../core/verify/roc.ts';

/** One comparison: `measured` is a difference that must not exceed `tolerance`. */
export interface CheckRow {
  readonly file: string;
  readonly check: string;
  readonly measured: number;
  readonly tolerance: number;
  readonly ok: boolean;
}

interface Rate {
  tar: number;
  far: number;
}
interface GoldenCase {
  name: string;
  pairs: number;
  distances: number[];
  labels: number[];
  embeddings_a?: number[][];
  embeddings_b?: number[][];
  result: {
    fold_accuracy: number[];
    fold_threshold: number[];
    accuracy_mean: number;
    accuracy_std: number;
    val_at_far: {
      far_target: number;
      val_mean: number;
      val_std: number;
      far_mean: number;
      fold_threshold: number[];
    }[];
    tar_at_far: { far_target: number; nearest: Rate; at_most: Rate }[];
    eer: number;
    auc: number;
    roc_points: number;
  };
}

/** `scale` multiplies every tolerance. */
export function checkVerification(file: string, scale: number): CheckRow[] {
  const { cases } = JSON.parse(readFileSync(file, 'utf8')) as { cases: GoldenCase[] };
  return cases.flatMap((golden) => {
    const rows: CheckRow[] = [];
    const compare = (check: string, a: ArrayLike<number>, b: ArrayLike<number>, tolerance = 1e-12) =>
      rows.push(row(file, `${golden.name}: ${check}`, largestDifference(a, b), tolerance * scale));
    checkCase(golden, compare);
    return rows;
  });
}

export function row(file: string, check: string, measured: number, tolerance: number): CheckRow {
  return { file: basename(file), check, measured, tolerance, ok: measured <= tolerance };
}

/** Infinite when the lengths differ, so that a missing value cannot pass. */
export function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  let worst = 0;
  for (let i = 0; i < a.length; i++) {
    const difference = Math.abs(a[i]! - b[i]!);
    if (Number.isNaN(difference)) return Number.POSITIVE_INFINITY;
    worst = Math.max(worst, difference);
  }
  return worst;
}

type Compare = (check: string, a: ArrayLike<number>, b: ArrayLike<number>, tolerance?: number) => void;

function checkCase(golden: GoldenCase, compare: Compare): void {
  const { result } = golden;
  const pairs: LabelledDistances = {
    distances: golden.distances,
    same: golden.labels.map((label) => label === 1),
  };
  compare('pairs', [pairs.same.length], [golden.pairs], 0);
  if (golden.embeddings_a && golden.embeddings_b) {
    const distances = golden.embeddings_a.map((a, i) => distanceOf(a, golden.embeddings_b![i]!));
    compare('distances of embeddings', distances, golden.distances);
  }
  const folds = kfoldAccuracy(pairs);
  compare('fold accuracies', folds.accuracies, result.fold_accuracy);
  compare('fold thresholds', folds.thresholds, result.fold_threshold);
  compare('accuracy', [folds.mean, folds.std], [result.accuracy_mean, result.accuracy_std]);
  for (const val of result.val_at_far) {
    const got = kfoldTarAtFar(pairs, val.far_target);
    compare(
      `VAL at FAR ${val.far_target}`,
      [got.tarMean, got.tarStd, got.farMean],
      [val.val_mean, val.val_std, val.far_mean],
    );
    compare(`VAL thresholds at FAR ${val.far_target}`, got.thresholds, val.fold_threshold, 1e-9);
  }
  const roc = rocOf(pairs);
  compare('ROC points', [roc.fpr.length], [result.roc_points], 0);
  for (const { far_target: target, nearest, at_most } of result.tar_at_far) {
    compare(`TAR nearest FAR ${target}`, values(tarNearest(roc, target)), values(nearest));
    compare(`TAR at most FAR ${target}`, values(tarAtMost(roc, target)), values(at_most));
  }
  compare('EER', [equalErrorRate(roc)], [result.eer]);
  compare('AUC', [areaUnder(roc)], [result.auc]);
}

const values = (rate: Rate): number[] => [rate.tar, rate.far];

/** Through the same functions that a verification uses; the fixture's vectors are doubles. */
function distanceOf(a: readonly number[], b: readonly number[]): number {
  const raw = [...a, ...b];
  const nothing = new Float64Array(raw.length);
  return squaredDistance(unitSums(raw, nothing, a.length), 0, 1, a.length);
}
