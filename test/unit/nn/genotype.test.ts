import assert from 'node:assert/strict';
import test from 'node:test';
import { GENOTYPES } from '../../../core/nn/genotype.ts';
import { genotypeSchema } from '../../../core/spec/network.ts';

test('the published genotypes are well-formed', () => {
  for (const genotype of Object.values(GENOTYPES)) assert.deepEqual(genotypeSchema.parse(genotype), genotype);
});
