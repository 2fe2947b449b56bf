// Warm-up and early stop of a search.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GENOTYPES } from '../../../core/nn/genotype.ts';
import { phaseOf, skipConnections, stopAfter } from '../../../core/search/policy.ts';
import type { Genotype } from '../../../core/spec/network.ts';

const skips: Genotype = {
  ...GENOTYPES.casia,
  normal: [
    [
      ['skip_connect', 0],
      ['skip_connect', 1],
    ],
    ...GENOTYPES.casia.normal.slice(1),
  ] as Genotype['normal'],
};

test('skips are counted in the normal cell only', () => {
  // The published genotype has one there and two in its reduction cell.
  assert.equal(skipConnections(GENOTYPES.casia), 1);
  assert.equal(skipConnections(skips), 3);
});

test('a search stops when there are more skips than allowed, not when there are as many', () => {
  assert.deepEqual(stopAfter({ warmUpEpochs: 0, skipsMax: 3 }, 4, skips), { stop: false });
  assert.deepEqual(stopAfter({ warmUpEpochs: 0, skipsMax: 2 }, 4, skips), {
    stop: true,
    reason: 'the normal cell has 3 skip connections after epoch 5, at most 2 are wanted',
  });
  assert.deepEqual(stopAfter({ warmUpEpochs: 0 }, 4, skips), { stop: false });
});

test('during warm-up the weights move alone and nothing stops', () => {
  const policy = { warmUpEpochs: 2, skipsMax: 0 };
  assert.deepEqual(
    [0, 1, 2].map((epoch) => phaseOf(policy, epoch)),
    ['warm-up', 'warm-up', 'search'],
  );
  assert.deepEqual(stopAfter(policy, 1, skips), { stop: false });
  assert.equal(stopAfter(policy, 2, skips).stop, true);
});
