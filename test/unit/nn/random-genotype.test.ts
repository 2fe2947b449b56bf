import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import test from 'node:test';
import { genotypeKey } from '../../../core/nn/genotype-code.ts';
import { randomGenotype } from '../../../core/nn/random-genotype.ts';
import { canonicalJson } from '../../../core/spec/canonical-json.ts';
import { genotypeSchema, type Op } from '../../../core/spec/network.ts';
import { CHOICES } from '../../support/any-genotype.ts';

test('random candidates are valid, use only the given ops, repeat by number and differ between numbers', () => {
  const ops: Exclude<Op, 'none'>[] = ['dw_conv_3x3', 'max_pool_3x3'];
  const drawn = Array.from({ length: 200 }, (_, number) => randomGenotype(ops, 7, number));
  for (const genotype of drawn) {
    genotypeSchema.parse(genotype);
    for (const node of [...genotype.normal, ...genotype.reduce])
      for (const [op] of node) assert.ok((ops as string[]).includes(op));
  }
  assert.deepEqual(randomGenotype(ops, 7, 42), drawn[42]);
  assert.notDeepEqual(randomGenotype(ops, 8, 42), drawn[42]);
  assert.ok(new Set(drawn.map(genotypeKey)).size > 190);
});

test('random candidates read the two previous cells as often as uniform edges do', () => {
  const counts = new Map<number, number>();
  for (let number = 0; number < 500; number++)
    for (const node of randomGenotype(CHOICES, 1, number).normal)
      for (const [, input] of node) counts.set(input, (counts.get(input) ?? 0) + 1);
  // Expected share of input 0 (and 1) over the four nodes: 2/2 + 2/3 + 2/4 + 2/5 = 2.567 edges of 8.
  for (const input of [0, 1]) assert.ok(Math.abs((counts.get(input) ?? 0) / 500 - 2.567) < 0.15);
});

test('draws are those of the first release, so that a sweep that it began goes on', () => {
  const digest = (ops: readonly Exclude<Op, 'none'>[], seed: number) => {
    const hash = createHash('sha256');
    for (let number = 0; number < 2000; number++)
      hash.update(canonicalJson(randomGenotype(ops, seed, number)));
    return hash.digest('hex');
  };
  assert.equal(digest(CHOICES, 1), 'df3d95c9a28f96ae3b4214c47572614b31838c8630bfb0e5fbc0ec58d7af5948');
  assert.equal(
    digest(['dw_conv_3x3', 'max_pool_3x3', 'skip_connect'], 7),
    'cafd54065a1ea17c062e8a9e643926e9295a949d3a70b434531a16ef9ad9adb7',
  );
});
