import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { foldRanges, kfoldAccuracy } from '../../../core/verify/kfold.ts';
import {
  areaUnder,
  equalErrorRate,
  evaluatePairs,
  rocOf,
  tarAtMost,
  tarNearest,
  unitSums,
} from '../../../core/verify/roc.ts';
import { GOLDEN } from '../../golden/packed-folder.ts';
import { checkVerification } from '../../golden/verification.ts';

test('every number of the verification fixture is met', () => {
  const rows = checkVerification(join(GOLDEN, 'verification.json'), 1);
  assert.ok(rows.length > 100);
  assert.deepEqual(
    rows.filter((row) => !row.ok),
    [],
  );
});

test('folds are contiguous, cover every pair once, and the first ones are larger', () => {
  assert.deepEqual(
    foldRanges(23, 10).map(([from, to]) => to - from),
    [3, 3, 3, 2, 2, 2, 2, 2, 2, 2],
  );
  fc.assert(
    fc.property(fc.integer({ min: 10, max: 500 }), (n) => {
      const ranges = foldRanges(n, 10);
      assert.equal(ranges[0]![0], 0);
      assert.equal(ranges[9]![1], n);
      for (let i = 1; i < 10; i++) assert.equal(ranges[i]![0], ranges[i - 1]![1]);
    }),
  );
});

test('a distance equal to the threshold counts as different people', () => {
  // 20 pairs, all at exactly 1; the only rule that judges the genuine half rightly accepts beyond 1, from
  // threshold 1.01.
  const same = Array.from({ length: 20 }, (_, i) => i % 2 === 0);
  const result = kfoldAccuracy({ distances: same.map((s) => (s ? 1 : 3)), same });
  assert.equal(result.mean, 1);
  assert.ok(result.thresholds.every((threshold) => threshold === 1.01));
});

test('the best threshold is looked for on the other folds only', () => {
  // Fold 0 is upside down: genuine pairs far, impostors near. The other nine agree, so fold 0 is judged
  // wholly wrongly.
  const same = Array.from({ length: 100 }, (_, i) => i % 2 === 0);
  const distances = same.map((s, i) => ((i < 10 ? !s : s) ? 0.5 : 2));
  const result = kfoldAccuracy({ distances, same });
  assert.equal(result.accuracies[0], 0);
  assert.ok(result.accuracies.slice(1).every((a) => a === 1));
});

test('the curve of a perfect verifier goes through the corner', () => {
  const roc = rocOf({ distances: [0.1, 0.2, 2, 3], same: [true, true, false, false] });
  assert.deepEqual(roc, { fpr: [0, 0, 0, 0.5, 1], tpr: [0, 0.5, 1, 1, 1] });
  assert.equal(areaUnder(roc), 1);
  assert.equal(equalErrorRate(roc), 0);
  assert.deepEqual(tarAtMost(roc, 1e-3), { tar: 1, far: 0 });
  assert.deepEqual(tarNearest(roc, 0.3), { tar: 1, far: 0.5 });
});

test('the area is the share of (genuine, impostor) pairs in the right order', () => {
  const pair = fc.record({ distance: fc.integer({ min: 0, max: 12 }), same: fc.boolean() });
  fc.assert(
    fc.property(fc.array(pair, { minLength: 2, maxLength: 60 }), (pairs) => {
      const genuine = pairs.filter((p) => p.same);
      const impostors = pairs.filter((p) => !p.same);
      fc.pre(genuine.length > 0 && impostors.length > 0);
      let right = 0;
      for (const g of genuine)
        for (const i of impostors) right += g.distance < i.distance ? 1 : g.distance === i.distance ? 0.5 : 0;
      const roc = rocOf({ distances: pairs.map((p) => p.distance), same: pairs.map((p) => p.same) });
      assert.ok(Math.abs(areaUnder(roc) - right / (genuine.length * impostors.length)) < 1e-12);
    }),
  );
});

test('pairs are verified on the unit sum of an embedding and its mirror', () => {
  // Images 0 and 1 point the same way once the mirrors are added; 2 points at a right angle, squared distance
  // 2.
  const embeddings = Float32Array.from([1, 1, 4, 0, 0, 2]);
  const flippedEmbeddings = Float32Array.from([1, -1, -1, 0, 0, 3]);
  const pairs = Array.from({ length: 20 }, (_, i) =>
    i % 2 === 0 ? { a: 0, b: 1, same: true } : { a: 0, b: 2, same: false },
  );
  const result = evaluatePairs({ embeddings, flippedEmbeddings, pairs, embeddingSize: 2 });
  assert.equal(result.accuracy, 1);
  assert.deepEqual(
    [...result.distances.slice(0, 2)].map((d) => Math.round(d * 1e9) / 1e9),
    [0, 2],
  );
});

test('an embedding that is not finite is refused with its image', () => {
  assert.throws(() => unitSums([1, 2, Number.NaN, 1], [0, 0, 0, 0], 2), /embedding of image 1 is not finite/);
});

test('pairs of one sort only have no curve', () => {
  assert.throws(() => rocOf({ distances: [1, 2], same: [true, true] }), /2 genuine and 0 impostor pairs/);
});
