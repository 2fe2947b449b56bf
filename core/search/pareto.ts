// Several objectives at once: who dominates whom, in which rank that puts them, how crowded a place is, and the
// volume that a front covers (Deb et al., "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II", IEEE
// Transactions on Evolutionary Computation 6(2), 2002). Scores are such that more is better.

/** The scores of one point, in the order of the objectives. */
export type Scores = readonly number[];

/** Whether `a` is nowhere worse than `b`, and somewhere better. */
export function dominates(a: Scores, b: Scores): boolean {
  return a.every((score, at) => score >= b[at]!) && a.some((score, at) => score > b[at]!);
}

/**
 * The ranks of points (0 where none dominates it, 1 where those of rank 0 alone do, and so on), of which the last is
 * new, from those of all others: what it dominates moves one front on, and so
 * does what that dominates (Li et al., "Efficient Nondomination Level Update Method for Steady-State Evolutionary
 * Multiobjective Optimization", IEEE Transactions on Cybernetics 47(9), 2017).
 */
export function ranksWithLast(points: readonly Scores[], before: readonly number[]): number[] {
  const last = points.length - 1;
  const ranks = [...before, 0];
  let rank = 0;
  for (let at = 0; at < last; at++)
    if (before[at]! >= rank && dominates(points[at]!, points[last]!)) rank = before[at]! + 1;
  for (let moving = [last]; moving.length > 0; rank++) {
    const next = before.flatMap((of, at) =>
      of === rank && moving.some((one) => dominates(points[one]!, points[at]!)) ? [at] : [],
    );
    for (const one of moving) ranks[one] = rank;
    moving = next;
  }
  return ranks;
}

/**
 * How far the neighbours of each point of one front are apart, as a sum over objectives of shares of the front's
 * extent; infinite for the outermost.
 */
export function crowdingOf(front: readonly Scores[]): number[] {
  const distances = new Array<number>(front.length).fill(0);
  const objectives = front[0]?.length ?? 0;
  for (let objective = 0; objective < objectives; objective++) {
    const score = (at: number) => front[at]![objective]!;
    const order = front.map((_, at) => at).sort((a, b) => score(a) - score(b) || a - b);
    const [first, last] = [order[0]!, order.at(-1)!];
    const extent = score(last) - score(first);
    distances[first] = Number.POSITIVE_INFINITY;
    distances[last] = Number.POSITIVE_INFINITY;
    if (extent === 0) continue;
    for (let place = 1; place < order.length - 1; place++)
      distances[order[place]!]! += (score(order[place + 1]!) - score(order[place - 1]!)) / extent;
  }
  return distances;
}

/** The places of the points that no other dominates, in the order given. */
export function frontOf(points: readonly Scores[]): number[] {
  return points.flatMap((point, at) => (points.some((other) => dominates(other, point)) ? [] : [at]));
}

/**
 * The volume that the points dominate above a reference point, in two or three objectives. A point that is not
 * above the reference in each objective adds nothing.
 */
export function hypervolume(points: readonly Scores[], reference: Scores): number {
  const above = points.filter((point) => point.every((score, at) => score > reference[at]!));
  return volumeOf(above, reference, reference.length);
}

/**
 * `count` of the points, or all where there are fewer, that cover most of the volume of all above the reference: one
 * after the other the point that adds most, the first of equal ones (greedy hypervolume subset selection, at least
 * 1 - 1/e of the best subset's volume: Guerreiro, Fonseca and Paquete, "The Hypervolume Indicator: Computational
 * Problems and Algorithms", ACM Computing Surveys 54(6), 2021). Their places, in the order chosen.
 */
export function coveringSubset(points: readonly Scores[], count: number, reference: Scores): number[] {
  const chosen: number[] = [];
  while (chosen.length < Math.min(count, points.length)) {
    const taken = chosen.map((at) => points[at]!);
    let [best, most] = [-1, Number.NEGATIVE_INFINITY];
    for (const [at, point] of points.entries()) {
      if (chosen.includes(at)) continue;
      const volume = hypervolume([...taken, point], reference);
      if (volume > most) [best, most] = [at, volume];
    }
    chosen.push(best);
  }
  return chosen;
}

/** Slices along the last objective, each with the volume of the points that reach it in the others. */
function volumeOf(points: readonly Scores[], reference: Scores, objectives: number): number {
  const last = objectives - 1;
  if (objectives === 1) return Math.max(0, ...points.map(([score]) => score! - reference[0]!));
  const sorted = [...points].sort((a, b) => b[last]! - a[last]!);
  let volume = 0;
  sorted.forEach((point, at) => {
    const height = point[last]! - (sorted[at + 1]?.[last] ?? reference[last]!);
    if (height > 0) volume += height * volumeOf(sorted.slice(0, at + 1), reference, last);
  });
  return volume;
}
