import assert from 'node:assert/strict';
import test from 'node:test';
import { cellSpace } from '../../../../coordinator/strategies/cell-space.ts';
import { axesFault, grid } from '../../../../coordinator/strategies/grid.ts';
import { searchOf } from '../../../../coordinator/strategies/strategies.ts';
import { GENOTYPES } from '../../../../core/nn/genotype.ts';
import { genotypeKey } from '../../../../core/nn/genotype-code.ts';
import { sweep } from '../../../sim/specs.ts';
import { simulated } from '../../../support/simulated-search.ts';
import { tableSpace } from '../../../support/table-space.ts';

test('a grid is every combination in order, the last gene changing fastest', () => {
  const space = tableSpace([2, 3]);
  const { evaluated, end } = simulated({
    ...{ strategy: grid({}, space), space, seed: 1, trials: 100, lag: 2, evaluate: () => [0] },
  });
  assert.deepEqual(
    evaluated.map(({ key }) => key),
    ['0.0', '0.1', '0.2', '1.0', '1.1', '1.2'],
  );
  assert.equal(end, 'each of the 6 combinations of the grid was looked at');
});

test('with axes the other genes stay as they are in the base', () => {
  const axes = { 'normal.3.lower': ['dw_conv_3x3', 'skip_connect'] };
  const spec = sweep({ strategy: { kind: 'grid', trials: 9, base: 'casia', axes } });
  const search = searchOf(spec);
  const question = { draws: 9, mayBegin: true, known: () => undefined, keyOf: () => '' };
  const first = search.ask(search.begin(1), question);
  assert.ok(first.kind === 'move');
  // The fourth node of the normal cell has a skip on its lower input, 0, in the published genotype.
  const second = search.ask(search.made(search.begin(1), { ...first.move, cursor: first.cursor }), question);
  assert.ok(second.kind === 'move');
  assert.equal(second.move.key, genotypeKey(GENOTYPES.casia));
  assert.notEqual(first.move.key, second.move.key);
});

test('an axis that is no gene, or a value that its gene does not have, is named', () => {
  const space = cellSpace(sweep());
  assert.equal(
    axesFault({ axes: { 'normal.9.lower': ['skip_connect'] } }, space)?.field,
    'strategy.axes.normal.9.lower',
  );
  assert.match(
    axesFault({ axes: { 'normal.1.inputs': ['0+7'] } }, space)?.reason ?? '',
    /^"0\+7" is outside the space; the gene has 0\+1, 0\+2, 1\+2$/,
  );
  assert.equal(axesFault({ axes: { 'normal.1.inputs': ['0+2'] } }, space), undefined);
});
