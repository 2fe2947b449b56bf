// Kendall's rank correlation with ties (Kendall, "The treatment of ties in ranking problems", 1945): how well
// one order of networks foretells another, such as a score at initial weights the accuracy after training.

/**
 * Tau-b of n pairs, in [-1, 1]: (concordant - discordant) / sqrt((all - tied in a) (all - tied in b)) over
 * pairs of pairs. NaN where n < 2, where one side is constant, or where a value is NaN. Takes n log n steps
 * (Knight, "A computer method for calculating Kendall's tau with ungrouped data", 1966). Both lists have the
 * same length.
 */
export function kendallTau(a: readonly number[], b: readonly number[]): number {
  const n = a.length;
  if (b.length !== n) throw new RangeError(`assertion: ${n} values on one side and ${b.length} on the other`);
  if (a.some(Number.isNaN) || b.some(Number.isNaN)) return Number.NaN;
  const order = Array.from(a, (_, i) => i).sort((i, j) => compare(a[i]!, a[j]!) || compare(b[i]!, b[j]!));
  const tiedInA = tiedPairs(order, (i, j) => a[i] === a[j]);
  const tiedInBoth = tiedPairs(order, (i, j) => a[i] === a[j] && b[i] === b[j]);
  const values = order.map((i) => b[i]!);
  // Where `a` ties, `b` is in order already, so only discordant pairs are exchanged.
  const discordant = sortCounting(values);
  const tiedInB = tiedPairs(values, (x, y) => x === y);
  const all = (n * (n - 1)) / 2;
  const concordant = all - tiedInA - tiedInB + tiedInBoth - discordant;
  return (concordant - discordant) / Math.sqrt((all - tiedInA) * (all - tiedInB));
}

/** Standard normal quantile of 0.975. */
const NORMAL_975 = 1.959964;

/**
 * 95 % interval of a tau of `n` pairs: atanh(tau) is about normal with variance 0.437 / (n - 4) (Fieller, Hartley and
 * Pearson, "Tests for rank correlation coefficients. I", 1957), which they found good up to |tau| of 0.8. A tau that is
 * nearer to 1 than half a pair in the other order would bring it counts as that far away, so that few candidates in one
 * order prove no more than they can. NaN where n < 5 or tau is NaN.
 */
export function tauInterval(tau: number, n: number): { readonly low: number; readonly high: number } {
  if (n < 5) return { low: Number.NaN, high: Number.NaN };
  const reach = NORMAL_975 * Math.sqrt(0.437 / (n - 4));
  const largest = 1 - 2 / (n * (n - 1));
  const centre = Math.atanh(Math.max(-largest, Math.min(largest, tau)));
  const [low, high] = [Math.tanh(centre - reach), Math.tanh(centre + reach)];
  return { low: tau < -largest ? -1 : low, high: tau > largest ? 1 : high };
}

/** Infinities are values like others. */
function compare(x: number, y: number): number {
  return x < y ? -1 : Number(x > y);
}

/** Pairs within runs of equal neighbours. */
function tiedPairs<T>(sorted: readonly T[], same: (a: T, b: T) => boolean): number {
  let pairs = 0;
  let run = 0;
  sorted.forEach((value, i) => {
    run = i > 0 && same(sorted[i - 1]!, value) ? run + 1 : 0;
    pairs += run;
  });
  return pairs;
}

/** Sorts in place by merging, and returns the number of pairs that were in the wrong order. */
function sortCounting(values: number[]): number {
  let exchanged = 0;
  for (let width = 1; width < values.length; width *= 2)
    for (let from = 0; from + width < values.length; from += 2 * width) {
      const left = values.slice(from, from + width);
      const right = values.slice(from + width, from + 2 * width);
      let [l, r] = [0, 0];
      for (let at = from; at < from + left.length + right.length; at++)
        if (r < right.length && (l === left.length || right[r]! < left[l]!)) {
          exchanged += left.length - l;
          values[at] = right[r++]!;
        } else values[at] = left[l++]!;
    }
  return exchanged;
}
