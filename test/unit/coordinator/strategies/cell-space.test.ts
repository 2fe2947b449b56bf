import assert from 'node:assert/strict';
import test from 'node:test';
import { cellSpace } from '../../../../coordinator/strategies/cell-space.ts';
import { genotypeKey, genotypeOfKey } from '../../../../core/nn/genotype-code.ts';
import { randomGenotype } from '../../../../core/nn/random-genotype.ts';
import { sweep } from '../../../sim/specs.ts';

test('draws of the cell space are those of earlier releases, whose sweeps go on', () => {
  const spec = sweep();
  const space = cellSpace(spec);
  for (let number = 0; number < 200; number++) {
    const key = space.keyOf(space.draw(7, number));
    assert.equal(key, genotypeKey(randomGenotype(spec.space.ops as never, 7, number)));
    const genes = space.genesOf(key);
    assert.equal(space.keyOf(genes), key);
    assert.deepEqual(space.costsOf(genes), space.costsOf(space.draw(7, number)));
    assert.ok(genes.every((value, gene) => value >= 0 && value < space.genes[gene]!.values.length));
    assert.equal(genotypeKey(genotypeOfKey(key)), key);
  }
  assert.equal(space.genes.length, 24);
});
