// What a verification of a model file reports, by kind of benchmark, and how the numbers of a pair set follow
// from its embeddings. The process that computes, the command line and the JSON file all use these shapes.
// Rates and accuracies are 0..1.

import type { VerificationBin } from '../data/benchmarks/verification-bin.ts';
import type { RatePoint } from './ijb.ts';
import { kfoldAccuracy, kfoldTarAtFar, type LabelledDistances } from './kfold.ts';
import type { MegafaceResult } from './megaface.ts';
import { areaUnder, equalErrorRate, type Roc, rocOf, squaredDistance, tarAtMost, unitSums } from './roc.ts';

/** The report of one benchmark. */
export type SetReport = PairReport | IjbReport | MegafaceReport;

/** A `.bin` set: LFW, CFP-FP, AgeDB-30 and others. */
export interface PairReport extends Roc {
  readonly kind: 'pairs';
  readonly name: string;
  readonly pairs: number;
  readonly genuinePairs: number;
  /** Mean over ten folds and its population standard deviation. */
  readonly accuracy: number;
  readonly accuracyStd: number;
  /** Mean of the folds' thresholds on the squared distance of unit embeddings. */
  readonly threshold: number;
  /**
   * TPR at this FPR over folds, each by the threshold interpolated on the other nine; null where a fold lacks
   * a sort of pairs.
   */
  readonly tprAtFpr: { readonly fpr: number; readonly tpr: number | null; readonly std: number | null };
  /** On all pairs, the largest TAR whose FAR is at most this one. */
  readonly tarAtFar: readonly { readonly far: number; readonly tar: number }[];
  readonly eer: number;
  readonly auc: number;
  /**
   * Mean norm of the raw embeddings of images and mirror images. A huge one with accuracy at chance shows a
   * wrong network.
   */
  readonly xnorm: number;
}

/** An IJB-B or IJB-C 1:1 verification. */
export interface IjbReport extends Roc {
  readonly kind: 'ijb';
  readonly name: string;
  readonly set: 'ijbb' | 'ijbc';
  readonly faces: number;
  readonly templates: number;
  readonly genuinePairs: number;
  readonly impostorPairs: number;
  readonly tarAtFar: readonly RatePoint[];
}

/** A MegaFace evaluation. */
export interface MegafaceReport {
  readonly kind: 'megaface';
  readonly name: string;
  readonly probes: number;
  readonly distractors: number;
  readonly result: MegafaceResult;
  /** The result with the noise lists of the folder; undefined where it has none. */
  readonly refined: MegafaceResult | undefined;
}

/** The false positive rate that the reference logs. */
const FOLD_FPR = 1e-3;
const FARS = [1e-2, 1e-3, 1e-4] as const;

/** The report of a pair set. Images 2i and 2i + 1 are pair i; embeddings are raw, [images, size]. */
export function pairReport(options: {
  readonly name: string;
  readonly embeddings: Float32Array;
  readonly flippedEmbeddings: Float32Array;
  readonly size: number;
  readonly same: VerificationBin['same'];
}): PairReport {
  const { name, embeddings, flippedEmbeddings, size, same } = options;
  const units = unitSums(embeddings, flippedEmbeddings, size);
  const distances = Float64Array.from(same, (_, i) => squaredDistance(units, 2 * i, 2 * i + 1, size));
  const labelled: LabelledDistances = { distances, same };
  const folds = kfoldAccuracy(labelled);
  const rates = kfoldTarAtFar(labelled, FOLD_FPR);
  const roc = rocOf(labelled);
  return {
    kind: 'pairs',
    name,
    pairs: same.length,
    genuinePairs: same.filter(Boolean).length,
    accuracy: folds.mean,
    accuracyStd: folds.std,
    threshold: folds.thresholds.reduce((a, b) => a + b, 0) / folds.thresholds.length,
    tprAtFpr: { fpr: FOLD_FPR, tpr: finite(rates.tarMean), std: finite(rates.tarStd) },
    tarAtFar: FARS.map((far) => ({ far, tar: tarAtMost(roc, far).tar })),
    eer: equalErrorRate(roc),
    auc: areaUnder(roc),
    xnorm: (meanNorm(embeddings, size) + meanNorm(flippedEmbeddings, size)) / 2,
    ...corners(roc),
  };
}

/** The curve without points inside horizontal and vertical lines: the same curve in fewer points. */
function corners({ fpr, tpr }: Roc): Roc {
  const kept = fpr.flatMap((_, i) => {
    const inside =
      i > 0 &&
      i < fpr.length - 1 &&
      ((fpr[i] === fpr[i - 1] && fpr[i] === fpr[i + 1]) || (tpr[i] === tpr[i - 1] && tpr[i] === tpr[i + 1]));
    return inside ? [] : [i];
  });
  return { fpr: kept.map((i) => fpr[i]!), tpr: kept.map((i) => tpr[i]!) };
}

function meanNorm(embeddings: Float32Array, size: number): number {
  let sum = 0;
  for (let at = 0; at < embeddings.length; at += size) {
    let square = 0;
    for (let i = at; i < at + size; i++) square += embeddings[i]! ** 2;
    sum += Math.sqrt(square);
  }
  return sum / (embeddings.length / size);
}

const finite = (value: number): number | null => (Number.isFinite(value) ? value : null);
