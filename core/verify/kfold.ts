// Ten-fold pair accuracy as LFW defines it (Huang et al., 2007) and PocketNet measures it, and the true
// accept rate at a target false accept rate (VAL) on the same folds. Decides folds, thresholds and ties
// (reference facts 5.1). A threshold is chosen on nine folds and judged on the tenth, so no pair is judged by
// a threshold that it helped to choose.
//
// Where the original cannot run, for VAL at a target that no threshold reaches, the rule is ours: the
// threshold is 0 and accepts nothing.

/**
 * Squared distances of pairs of unit embeddings, 0..4, and whether each pair shows one person; in the order
 * of the pairs.
 */
export interface LabelledDistances {
  readonly distances: ArrayLike<number>;
  readonly same: readonly boolean[];
}

/** Accuracy over folds. */
export interface FoldResult {
  /** Accuracy on each fold at the threshold that was best on all others. */
  readonly accuracies: number[];
  readonly thresholds: number[];
  /** For each pair, whether the threshold of its fold judges it rightly. */
  readonly right: readonly boolean[];
  readonly mean: number;
  /** Population standard deviation over folds. */
  readonly std: number;
}

/** TAR and FAR over folds, 0..1. */
export interface FoldRates {
  /** On each fold, at the threshold chosen on the others. */
  readonly tar: number[];
  readonly far: number[];
  readonly thresholds: number[];
  readonly tarMean: number;
  readonly tarStd: number;
  readonly farMean: number;
}

/** Contiguous folds [from, to) of n pairs, in order; the first n mod `folds` are one larger. */
export function foldRanges(n: number, folds: number): (readonly [number, number])[] {
  const small = Math.floor(n / folds);
  const larger = n % folds;
  return Array.from({ length: folds }, (_, fold) => {
    const from = fold * small + Math.min(fold, larger);
    return [from, from + small + (fold < larger ? 1 : 0)];
  });
}

/**
 * Accuracy over folds. The thresholds are 0, 0.01 .. 3.99, and a pair counts as one person if its distance is
 * below the threshold. The first threshold with the best accuracy on the other folds is applied to each fold.
 */
export function kfoldAccuracy(pairs: LabelledDistances, folds = 10): FoldResult {
  const thresholds = Array.from({ length: 400 }, (_, i) => i * 0.01);
  const ranges = foldRanges(pairs.same.length, folds);
  // correct [folds][thresholds]: number of pairs judged rightly. The other folds' is the total less the own,
  // so each is counted once.
  const correct = ranges.map(([from, to]) =>
    thresholds.map((threshold) => countCorrect(pairs, from, to, threshold)),
  );
  const totals = thresholds.map((_, t) => correct.reduce((sum, fold) => sum + fold[t]!, 0));
  const best = correct.map((fold) => firstMaximum(totals.map((total, t) => total - fold[t]!)));
  const accuracies = ranges.map(([from, to], fold) => correct[fold]![best[fold]!]! / (to - from));
  const right = ranges.flatMap(([from, to], fold) =>
    Array.from({ length: to - from }, (_, i) => isRight(pairs, from + i, thresholds[best[fold]!]!)),
  );
  return {
    accuracies,
    thresholds: best.map((t) => thresholds[t]!),
    right,
    mean: mean(accuracies),
    std: populationStd(accuracies),
  };
}

/**
 * TAR at a target FAR over folds. On the other folds FAR is taken at thresholds 0, 0.001 .. 3.999, and the
 * threshold is interpolated linearly between the last one whose FAR does not exceed the target and the next;
 * it is 0 where the target is never reached.
 */
export function kfoldTarAtFar(pairs: LabelledDistances, target: number, folds = 10): FoldRates {
  const step = 0.001;
  const grid = Array.from({ length: 4000 }, (_, i) => i * step);
  const ranges = foldRanges(pairs.same.length, folds);
  const accepted = ranges.map(([from, to]) => grid.map((t) => countAccepted(pairs, from, to, t)));
  const falseTotals = grid.map((_, t) => accepted.reduce((sum, fold) => sum + fold[t]!.falseAccepts, 0));
  const impostors = ranges.map(([from, to]) => pairs.same.slice(from, to).filter((same) => !same).length);
  const impostorTotal = impostors.reduce((a, b) => a + b, 0);
  const thresholds = ranges.map((_, fold) => {
    const far = falseTotals.map(
      (total, t) => (total - accepted[fold]![t]!.falseAccepts) / (impostorTotal - impostors[fold]!),
    );
    return interpolatedThreshold(grid, far, target, step);
  });
  const rates = ranges.map(([from, to], fold) => {
    const { trueAccepts, falseAccepts } = countAccepted(pairs, from, to, thresholds[fold]!);
    return {
      tar: trueAccepts / (to - from - impostors[fold]!),
      far: falseAccepts / impostors[fold]!,
    };
  });
  const tar = rates.map((rate) => rate.tar);
  const far = rates.map((rate) => rate.far);
  return { tar, far, thresholds, tarMean: mean(tar), tarStd: populationStd(tar), farMean: mean(far) };
}

function interpolatedThreshold(grid: number[], far: number[], target: number, step: number): number {
  if (far.at(-1)! < target) return 0;
  const i = far.findLastIndex((rate) => rate <= target);
  if (i < 0) return 0;
  if (i === grid.length - 1) return grid[i]!;
  return grid[i]! + ((target - far[i]!) / (far[i + 1]! - far[i]!)) * step;
}

function countCorrect(pairs: LabelledDistances, from: number, to: number, threshold: number): number {
  let correct = 0;
  for (let i = from; i < to; i++) if (isRight(pairs, i, threshold)) correct += 1;
  return correct;
}

const isRight = (pairs: LabelledDistances, i: number, threshold: number): boolean =>
  pairs.distances[i]! < threshold === pairs.same[i];

function countAccepted(pairs: LabelledDistances, from: number, to: number, threshold: number) {
  let trueAccepts = 0;
  let falseAccepts = 0;
  for (let i = from; i < to; i++) {
    if (!(pairs.distances[i]! < threshold)) continue;
    if (pairs.same[i]) trueAccepts += 1;
    else falseAccepts += 1;
  }
  return { trueAccepts, falseAccepts };
}

function firstMaximum(values: readonly number[]): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return best;
}

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
const populationStd = (values: readonly number[]): number => {
  const m = mean(values);
  return Math.sqrt(values.reduce((sum, v) => sum + (v - m) ** 2, 0) / values.length);
};
