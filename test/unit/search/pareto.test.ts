// Ranks, crowding and hypervolume against plain second ones.

import assert from 'node:assert/strict';
import test from 'node:test';
import { randomStream } from '../../../core/rng.ts';
import {
  coveringSubset,
  crowdingOf,
  dominates,
  frontOf,
  hypervolume,
  ranksWithLast,
  type Scores,
} from '../../../core/search/pareto.ts';

/** Points on a small lattice, so that ties and repetitions come up. */
function pointsOf(seed: number, count: number, objectives: number): Scores[] {
  const random = randomStream({ seed, purpose: 'pareto' });
  return Array.from({ length: count }, () => Array.from({ length: objectives }, () => random.integer(6)));
}

const CASES = Array.from({ length: 60 }, (_, seed) => pointsOf(seed, 1 + (seed % 12), 2 + (seed % 2)));

test('ranks are those of taking front after front away', () => {
  for (const points of CASES) {
    const ranks = new Array<number>(points.length);
    let left = points.map((_, at) => at);
    for (let rank = 0; left.length > 0; rank++) {
      const front = left.filter((at) => !left.some((other) => dominates(points[other]!, points[at]!)));
      for (const at of front) ranks[at] = rank;
      left = left.filter((at) => !front.includes(at));
    }
    let grown: number[] = [];
    points.forEach((_, at) => {
      grown = ranksWithLast(points.slice(0, at + 1), grown);
    });
    assert.deepEqual(grown, ranks);
    assert.deepEqual(
      frontOf(points),
      ranks.flatMap((rank, at) => (rank === 0 ? [at] : [])),
    );
  }
});

test('crowding adds up the gaps between neighbours, by looking at each point alone', () => {
  // Distinct in each objective, so that neighbours are clear.
  const random = randomStream({ seed: 1, purpose: 'crowding' });
  for (const objectives of [2, 3]) {
    const points = Array.from({ length: 9 }, () =>
      Array.from({ length: objectives }, () => random.uniform()),
    );
    const expected = points.map((point) =>
      point.reduce((sum, score, at) => {
        const all = points.map((other) => other[at]!);
        const below = Math.max(...all.filter((one) => one < score));
        const above = Math.min(...all.filter((one) => one > score));
        return sum + (above - below) / (Math.max(...all) - Math.min(...all));
      }, 0),
    );
    const found = crowdingOf(points);
    found.forEach((distance, at) => {
      const wanted = expected[at]!;
      if (Number.isFinite(wanted)) assert.ok(Math.abs(distance - wanted) < 1e-12);
      else assert.equal(distance, Number.POSITIVE_INFINITY);
    });
  }
});

test('hypervolume is the number of unit cubes that a point covers', () => {
  for (const points of CASES) {
    const objectives = points[0]!.length;
    const reference = new Array<number>(objectives).fill(1);
    let cubes = 0;
    for (let cube = 0; cube < 5 ** objectives; cube++) {
      const corner = reference.map((low, at) => low + 1 + (Math.floor(cube / 5 ** at) % 5));
      if (points.some((point) => point.every((score, at) => score >= corner[at]!))) cubes += 1;
    }
    assert.equal(hypervolume(points, reference), cubes);
  }
  assert.equal(hypervolume([], [0, 0]), 0);
});

test('a subset that covers a front begins with the largest volume, holds the guaranteed share, and is whole at last', () => {
  const front = [
    [9, 1],
    [8, 4],
    [5, 6],
    [2, 8],
    [1, 9],
  ];
  const reference = [0, 0];
  assert.deepEqual(coveringSubset(front, 1, reference), [1]);
  assert.deepEqual(coveringSubset(front, 9, reference).length, 5);
  const subsets = (count: number) =>
    [...Array(2 ** front.length).keys()]
      .map((bits) => front.filter((_, at) => bits & (2 ** at)))
      .filter((some) => some.length === count);
  for (const count of [1, 2, 3, 4]) {
    const best = Math.max(...subsets(count).map((some) => hypervolume(some, reference)));
    const chosen = coveringSubset(front, count, reference).map((at) => front[at]!);
    assert.ok(hypervolume(chosen, reference) >= (1 - 1 / Math.E) * best);
  }
});
