import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { foldRanges } from '../../../core/verify/kfold.ts';
import { identitySizes, pairsPossible, verificationPairs } from '../../../core/verify/pairs.ts';

const labelsOf = (counts: readonly number[]) =>
  counts.flatMap((n, label) => new Array<number>(n).fill(label));

test('pairs are different, truly labelled, half of them genuine in every fold', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 2, maxLength: 40 }),
      fc.nat(1000),
      (counts, seed) => {
        const labels = labelsOf(counts);
        const possible = pairsPossible(identitySizes(labels));
        const pairs = Math.min(400, Math.floor(Math.min(possible.genuine, possible.impostor) / 10) * 20);
        fc.pre(pairs >= 20);
        const drawn = verificationPairs(labels, { pairs, seed });
        assert.equal(drawn.length, pairs);
        assert.equal(new Set(drawn.map(({ a, b }) => `${a} ${b}`)).size, pairs);
        for (const { a, b, same } of drawn) {
          assert.ok(a < b && b < labels.length);
          assert.equal(labels[a] === labels[b], same);
        }
        for (const [from, to] of foldRanges(pairs, 10))
          assert.equal(drawn.slice(from, to).filter((pair) => pair.same).length, (to - from) / 2);
      },
    ),
    { numRuns: 60 },
  );
});

test('the same labels and seed give the same pairs, another seed others', () => {
  const labels = labelsOf([10, 10, 10, 10, 10, 10]);
  const draw = (seed: number) => verificationPairs(labels, { pairs: 100, seed });
  assert.deepEqual(draw(1), draw(1));
  assert.notDeepEqual(draw(1), draw(2));
});

test('every identity has its share of genuine pairs, however many images another has', () => {
  const drawn = verificationPairs(labelsOf([200, 5, 5, 5]), { pairs: 80, seed: 1 });
  const labels = labelsOf([200, 5, 5, 5]);
  for (let label = 0; label < 4; label++)
    assert.equal(drawn.filter((pair) => pair.same && labels[pair.a] === label).length, 10);
});

test('all possible genuine pairs can be asked for, and not one more', () => {
  const labels = labelsOf([5, 5]); // 10 + 10 genuine, 25 impostor pairs
  assert.deepEqual(pairsPossible(identitySizes(labels)), { genuine: 20, impostor: 25 });
  assert.equal(verificationPairs(labels, { pairs: 40, seed: 1 }).length, 40);
  assert.throws(() => verificationPairs(labels, { pairs: 60, seed: 1 }), {
    code: 'invalidArgument',
    message:
      /60 pairs need 30 different genuine ones, but the 10 held-out images allow 20; ask for at most 40/,
  });
});
