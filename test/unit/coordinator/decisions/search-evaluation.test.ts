// What becomes of the scores of a search network, from the report of a stage to what people read.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sentenceOf } from '../../../../coordinator/journal/why.ts';
import { runOf } from '../../../../coordinator/model/state.ts';
import { GENOTYPES } from '../../../../core/nn/genotype.ts';
import { codeOf, keyOfCode } from '../../../../core/nn/genotype-code.ts';
import { searchFoundText } from '../../../../core/report/runs.ts';
import { documentOf, documentSchema } from '../../../../core/spec/document.ts';
import { FACTS } from '../../../sim/world.ts';
import { core } from './core.ts';

test('a stage that was evaluated keeps its scores, and one that was not has none', () => {
  const fleet = core(1);
  const spec = documentOf(
    documentSchema.parse({
      kind: 'search',
      name: 'cells',
      data: { kind: 'synthetic', identities: 8, images: 8, holdout: 2 },
      search: { epochs: 4, batch: 16, shards: 2, evaluateEvery: 2 },
      workers: { max: 2 },
    }),
  );
  fleet.submit({ kind: 'run', spec, facts: FACTS } as never);
  const genotype = keyOfCode(codeOf(GENOTYPES.casia));
  const evaluation = { loss: 1.25, accuracy: 0.71234 };
  for (const [stage, scores] of [
    [1, {}],
    [2, { evaluation }],
  ] as const)
    fleet.report('run-1', {
      ...{ kind: 'checkpointStored', stage, step: 2 * stage, bytes: 1, digest: `d${stage}` },
      ...{ weightsDigest: `w${stage}`, search: { genotype, trainingLoss: 1, ...scores } },
    });
  assert.deepEqual(
    runOf(fleet.state, 'run-1').checkpoints.map(({ found }) => found?.evaluation),
    [undefined, evaluation],
  );
  const sentences = fleet.events
    .map((event) => sentenceOf(event, fleet.state))
    .filter((text) => text.includes('stands for genotype'));
  assert.doesNotMatch(sentences[0]!, /accuracy/);
  assert.match(sentences[1]!, /accuracy 0\.7123 and loss 1\.2500 over the half of the alphas$/);
  const found = { genotypeJson: '', skips: 1, changedEdges: 3, trainingLoss: 1, alphas: [] };
  assert.equal(searchFoundText({ ...found, evaluation }), '1 of 8 skip, 3 of 16 edges new, 71.2 % right');
  assert.equal(searchFoundText(found), '1 of 8 skip, 3 of 16 edges new');
});
