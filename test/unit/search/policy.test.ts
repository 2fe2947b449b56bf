// Warm-up, early stop and the fading skip of a search.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GENOTYPES } from '../../../core/nn/genotype.ts';
import {
  auxiliaryWeight,
  phaseOf,
  type StopRule,
  skipConnections,
  stopAfter,
} from '../../../core/search/policy.ts';

/** The first epoch, counted from 1, after which the search ends; undefined: none. */
function stopsAt(rule: StopRule, trajectory: readonly number[], warmUpEpochs = 0): number | undefined {
  const epochs = trajectory.length;
  const at = trajectory.findIndex(
    (_, i) => stopAfter({ rule, epochs, warmUpEpochs, skips: trajectory.slice(0, i + 1) }).stop,
  );
  return at < 0 ? undefined : at + 1;
}

/** Skips by straight lines between the given epochs, counted from 1, over fifty epochs. */
function trajectoryOf(...corners: readonly (readonly [epoch: number, skips: number])[]): number[] {
  return Array.from({ length: 50 }, (_, i) => {
    const next = corners.findIndex(([epoch]) => epoch >= i + 1);
    const [to, from] = [corners.at(next)!, corners.at(next === 0 ? 0 : next - 1)!];
    if (next < 0) return corners.at(-1)![1];
    const share = to[0] === from[0] ? 0 : (i + 1 - from[0]) / (to[0] - from[0]);
    return Math.round(from[1] + share * (to[1] - from[1]));
  });
}

/** Reference facts 2.3: mostly skips after epoch 2, replaced from epoch 12 on, one in the end. */
const PUBLISHED = trajectoryOf([1, 3], [2, 6], [12, 6], [20, 1], [50, 1]);
const COLLAPSING = trajectoryOf([1, 0], [20, 2], [40, 7], [50, 8]);

test('skips are counted in the normal cell only', () => {
  // The published genotype has one there and two in its reduction cell.
  assert.equal(skipConnections(GENOTYPES.casia), 1);
});

test('the published search would not have been ended, and a collapsing one is', () => {
  assert.equal(PUBLISHED[1], 6);
  for (const rows of [1, 3, 5]) {
    const rule = { skipsMax: 2, for: rows };
    assert.equal(stopsAt(rule, PUBLISHED), undefined);
    // Three skips from epoch 23 on: `for` of them lie behind epoch 26 at the latest, the first past half.
    const collapsed = stopsAt(rule, COLLAPSING);
    assert.ok(collapsed !== undefined && collapsed >= 26 && collapsed <= 28, `${rows}: ${collapsed}`);
  }
  // With `after: 0` the published search ends as it did by the rule of DARTS+ alone.
  assert.equal(stopsAt({ skipsMax: 2, after: 0, for: 1 }, PUBLISHED), 1);
});

test('falling skips do not end a search, however many there are; resting and rising ones do', () => {
  const rule = { skipsMax: 2, after: 0, for: 3 };
  assert.equal(stopsAt(rule, [8, 7, 6, 5, 4, 3, 2]), undefined);
  assert.equal(stopsAt(rule, [2, 3, 3, 3]), 4);
  assert.equal(stopsAt(rule, [2, 3, 5, 4]), 4);
  // One epoch at the limit begins the row anew.
  assert.equal(stopsAt(rule, [3, 3, 2, 3, 3, 3]), 6);
});

test('a search that ends names its skips, its epoch and the limit', () => {
  const rule = { skipsMax: 2, for: 3 };
  assert.deepEqual(stopAfter({ rule, epochs: 8, warmUpEpochs: 0, skips: [0, 0, 4, 4, 5] }), {
    stop: true,
    reason:
      'the normal cell has 5 skip connections after epoch 5, for 3 epochs in a row more than wanted and not falling; at most 2 are wanted',
  });
  const none = { rule: undefined, epochs: 3, warmUpEpochs: 0, skips: [8, 8, 8] };
  assert.deepEqual(stopAfter(none), { stop: false });
});

test('during warm-up the weights move alone, and its epochs are in no row', () => {
  assert.deepEqual(
    [0, 1, 2].map((epoch) => phaseOf({ warmUpEpochs: 2 }, epoch)),
    ['warm-up', 'warm-up', 'search'],
  );
  assert.equal(stopsAt({ skipsMax: 0, after: 0, for: 2 }, [5, 5, 5, 5], 2), 4);
});

test('the unweighted skip fades on a straight line to its end in the last epoch', () => {
  const skip = { from: 1, to: 0 };
  assert.deepEqual(
    [0, 1, 2, 3, 4].map((epoch) => auxiliaryWeight(skip, epoch, 5)),
    [1, 0.75, 0.5, 0.25, 0],
  );
  assert.equal(auxiliaryWeight(skip, 0, 1), 1);
  assert.equal(auxiliaryWeight(undefined, 3, 5), 0);
});
