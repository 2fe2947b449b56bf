// What a worker reports becomes a part of the journal only where the journal can give it back.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Journalled, reportOf } from '../../../../coordinator/workers/report.ts';
import { FleetError } from '../../../../core/errors.ts';
import { alphasText } from '../../../../core/nn/alphas-text.ts';
import { GENOTYPES } from '../../../../core/nn/genotype.ts';
import { codeOf, keyOfCode } from '../../../../core/nn/genotype-code.ts';
import { ALPHA_COUNT } from '../../../../core/nn/supernet.ts';
import { PhaseSeconds, type TimeSpent } from '../../../../proto/gen/pocketfleet/v1/fleet.ts';
import type { CheckpointStored, RunFinished } from '../../../../proto/gen/pocketfleet/v1/worker.ts';
import { EVALUATION as evaluation } from '../../../support/state.ts';

const stored = (change: Partial<CheckpointStored>): Journalled => ({
  $case: 'checkpointStored',
  value: { runId: 'run-1', generation: 1, stage: 1, step: 4, bytes: 100, digest: 'ab', ...change },
});
const foundWith = (evaluation: { readonly loss: number; readonly accuracy: number }): Journalled =>
  stored({ search: { ...found, evaluation } });
const finished = (change: Partial<RunFinished>): Journalled => ({
  $case: 'finished',
  value: { runId: 'run-1', generation: 1, step: 8, weightsDigest: 'ab', evaluation, ...change },
});

const spent = (change: Partial<TimeSpent>, compute = 4, runId = 'run-1'): Journalled => ({
  $case: 'timeSpent',
  value: {
    ...{ from: 10, until: 15 },
    entries: [
      { runId, stage: 2, seconds: PhaseSeconds.fromPartial({ compute }) },
      { runId: '', stage: 0, seconds: PhaseSeconds.fromPartial({ idle: 1 }) },
    ],
    ...change,
  },
});

const found = {
  genotype: keyOfCode(codeOf(GENOTYPES.casia)),
  trainingLoss: 1,
  alphas: alphasText(new Float32Array(ALPHA_COUNT)),
};

test('what a stage of a search has found is kept with its alphas, and an earlier worker reports none', () => {
  const search = (of: typeof found | Omit<typeof found, 'alphas'>) =>
    (reportOf(stored({ search: of })) as { readonly search?: unknown }).search;
  assert.deepEqual(search(found), found);
  const { alphas: _, ...without } = found;
  assert.deepEqual(search(without), without);
});

test('a number that JSON would make null, or that is no count, is refused with its field', () => {
  const refused: [Journalled, RegExp][] = [
    [stored({ step: Number.NaN }), /^checkpoint_stored.step: expected a whole number from 0 on, found NaN$/],
    [stored({ bytes: Number.POSITIVE_INFINITY }), /^checkpoint_stored.bytes: .*Infinity/],
    [stored({ bytes: -5 }), /^checkpoint_stored.bytes/],
    [stored({ step: 2 ** 53 }), /^checkpoint_stored.step/],
    [stored({ step: 0.5 }), /^checkpoint_stored.step/],
    [stored({ search: { ...found, trainingLoss: Number.NaN } }), /^checkpoint_stored.search.trainingLoss/],
    [stored({ search: { ...found, alphas: 'AAAA' } }), /^a text of 4 characters is not that of 224 alphas/],
    [
      foundWith({ loss: Number.NaN, accuracy: 1 }),
      /^checkpoint_stored.search.evaluation.loss: NaN is no loss$/,
    ],
    [
      foundWith({ loss: 1, accuracy: 1.5 }),
      /^checkpoint_stored.search.evaluation.accuracy: 1.5 is no share of images$/,
    ],
    [finished({ step: Number.NaN }), /^finished.step/],
    [finished({ weightsDigest: '\u001b[31m' }), /^finished.weights_digest: .*\\u001b/],
    [spent({ until: Number.NaN }), /^time_spent.until/],
    [spent({}, Number.NaN), /^time_spent.seconds.compute/],
    [spent({}, -4), /^time_spent.seconds.compute/],
    [spent({}, 3), /^time_spent.entries: 4 s altogether, which must be the length of the slice, 5 s$/],
    [spent({}, 4, 'w1\u001b[31m'), /^time_spent.run_id: .*\\u001b.* is no id of a run$/],
  ];
  for (const [report, message] of refused)
    assert.throws(
      () => reportOf(report),
      (error) =>
        error instanceof FleetError && error.code === 'invalidArgument' && message.test(error.message),
    );
  assert.deepEqual(reportOf(spent({})), {
    kind: 'timeSpent',
    slice: {
      ...{ from: 10, until: 15 },
      entries: [{ runId: 'run-1', stage: 2, seconds: { compute: 4 } }, { seconds: { idle: 1 } }],
    },
  });
  assert.deepEqual(reportOf(stored({})), {
    ...{ kind: 'checkpointStored', runId: 'run-1', stage: 1, step: 4, bytes: 100, digest: 'ab' },
  });
});

test('an evaluation that gave no numbers is left out, and the run has finished all the same', () => {
  const whole = reportOf(finished({}));
  assert.deepEqual('evaluation' in whole && whole.evaluation, evaluation);
  const { accuracyUntrained: _, ...measures } = evaluation;
  const unmeasured = reportOf(finished({ evaluation: { ...evaluation, accuracyUntrained: Number.NaN } }));
  assert.deepEqual('evaluation' in unmeasured && unmeasured.evaluation, measures);
  const none = reportOf(finished({ evaluation: { ...evaluation, accuracy: Number.NaN } }));
  assert.equal(none.kind, 'finished');
  assert.equal('evaluation' in none, false);
});
