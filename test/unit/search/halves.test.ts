// How a search's images are divided: properties that hold for any labels and any seed, and what is refused.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { halfSizes, halvesOf, singlesNote } from '../../../core/search/halves.ts';

const labelsOf = (counts: readonly number[]) =>
  counts.flatMap((count, person) => Array<number>(count).fill(person));

/** The image numbers of each person, by a plain filter. */
const ofPerson = (labels: readonly number[], places: Uint32Array, person: number) =>
  [...places].filter((place) => labels[place] === person).length;

test('each image is in one half, and people as well as halves differ by one image at most', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 40 }),
      fc.nat(0xffffffff),
      fc.boolean(),
      (counts, seed, scattered) => {
        const ordered = labelsOf(counts);
        // 7919 is prime and above every length here, so that this is a permutation.
        const labels = scattered ? ordered.map((_, i) => ordered[(i * 7919) % ordered.length]!) : ordered;
        const { weights, alphas, single } = halvesOf({ labels, seed });
        assert.deepEqual(
          [...weights, ...alphas].sort((a, b) => a - b),
          labels.map((_, i) => i),
        );
        assert.deepEqual({ weights: weights.length, alphas: alphas.length }, halfSizes(labels.length));
        for (const half of [weights, alphas])
          assert.deepEqual(
            [...half].sort((a, b) => a - b),
            [...half],
          );
        counts.forEach((_, person) => {
          const difference = ofPerson(labels, weights, person) - ofPerson(labels, alphas, person);
          assert.ok(Math.abs(difference) <= 1, `person ${person}: ${difference}`);
        });
        assert.equal(
          single,
          counts.filter((_, person) => labels.filter((label) => label === person).length === 1).length,
        );
      },
    ),
    { numRuns: 80 },
  );
});

test('the seed decides which images of a person go together, and nothing else does', () => {
  const labels = labelsOf([8, 8, 8, 8, 8, 8]);
  const of = (seed: number) => [...halvesOf({ labels, seed }).weights];
  assert.deepEqual(of(1), of(1));
  assert.notDeepEqual(of(1), of(2));
  // A person's division does not depend on the people after it.
  const fewer = [...halvesOf({ labels: labels.slice(0, 16), seed: 1 }).weights];
  assert.deepEqual(fewer, of(1).slice(0, 8));
  // Six people, 70 divisions of each: that two of them are divided alike everywhere is chance 1 in 1e5.
  const relative = [0, 1, 2, 3, 4, 5].map((person) =>
    of(1)
      .filter((place) => labels[place] === person)
      .map((place) => place - 8 * person)
      .join(),
  );
  assert.ok(new Set(relative).size > 1);
});

test('every image is about as often in one half as in the other', () => {
  const labels = labelsOf([7, 7]);
  const often = new Uint32Array(14);
  const seeds = 2000;
  for (let seed = 0; seed < seeds; seed++)
    for (const place of halvesOf({ labels, seed }).weights) often[place]! += 1;
  // The first person gives four of seven to the weights, the second three. Standard deviation 22.
  often.forEach((count, place) => {
    const expected = (seeds * (place < 7 ? 4 : 3)) / 7;
    assert.ok(Math.abs(count - expected) < 110, `image ${place}: ${count}, ${expected} expected`);
  });
});

test('people with one image are in the halves in turn and are counted in a note', () => {
  const { weights, alphas, single } = halvesOf({ labels: [0, 1, 2, 3, 4], seed: 6 });
  assert.deepEqual([[...weights], [...alphas], single], [[0, 2, 4], [1, 3], 5]);
  assert.match(singlesNote(single) ?? '', /5 people have one image each, so one half is without them/);
  assert.match(singlesNote(1) ?? '', /1 person has one image,/);
  assert.equal(singlesNote(0), undefined);
});

test('strict refuses people with fewer than two images in a half, and names the first', () => {
  const strict = (counts: readonly number[]) =>
    halvesOf({ labels: labelsOf(counts), seed: 1, stratify: 'strict' });
  assert.equal(strict([4, 5, 6]).weights.length, 8);
  assert.throws(() => strict([4, 3, 9, 1]), {
    code: 'invalidArgument',
    message: /class 1 has 3 images, and 1 more have fewer than 4; two in each half take 4/,
  });
  assert.throws(() => strict([1]), /class 0 has 1 image; two in each half/);
  assert.throws(
    () =>
      halvesOf({ labels: [0], seed: 1, stratify: 'strict', nameOf: (label) => `identity folder s${label}` }),
    /strict: identity folder s0 has 1 image; two in each half/,
  );
  // A class without images is no person.
  assert.equal(strict([4, 0, 4]).alphas.length, 4);
});
