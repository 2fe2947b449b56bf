// Teachers from files in a text: the own teacher of a plan, and those that a check alone is held against although their
// files are not stored.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readSubmission, type Submission } from '../../../../coordinator/api/submission.ts';
import { checkTeacher } from '../../../../coordinator/api/teacher-checks.ts';
import { withForeseen } from '../../../../coordinator/api/teacher-files.ts';
import { initialState, runOf } from '../../../../coordinator/model/state.ts';
import { canonicalJson } from '../../../../core/spec/canonical-json.ts';
import { connections } from '../../../support/state.ts';

const FILES = { import: '*backbone.pth', stages: 'by-number' };
const KEY = canonicalJson(FILES);
const NETWORK = '{ kind: pocketnet, channels: 2, layers: 4, embedding: 8, genotype: casia }';
const TRAINING = '{ epochs: 2, batch: 16, shards: 4 }';
const plan = (teacher: string, schedule = '[1, 2]') => `
kind: plan
name: files
data: { kind: synthetic, identities: 8, images: 6, holdout: 3 }
teacher: ${teacher}
students:
  - { name: taught, network: ${NETWORK}, training: ${TRAINING}, distillation: { schedule: ${schedule} } }
  - { name: other, network: ${NETWORK}, training: ${TRAINING}, distillation: { teacher: run-7 } }
  - { name: alone, network: ${NETWORK}, training: ${TRAINING} }
`;
const submission = (yaml: string, runIds: Record<string, string> = {}): Submission => ({
  ...{ yaml, baseDir: '', overrides: {}, imports: { runIds } },
});

test('students of a plan whose own teacher is files learn from the run of the files, unless they name another', () => {
  const [located] = readSubmission(
    submission(plan('{ import: "*backbone.pth", stages: by-number }'), { [KEY]: 'run-1' }),
  );
  const { spec } = located!;
  assert.equal(spec.kind, 'plan');
  if (spec.kind !== 'plan') return;
  assert.equal(spec.teacher, undefined);
  assert.deepEqual(
    spec.students.map(({ distillation }) => distillation?.teacher),
    ['run-1', 'run-7', undefined],
  );
  assert.throws(() => readSubmission(submission(plan('{ import: "*backbone.pth", stages: by-number }'))), {
    code: 'invalidArgument',
    message: /^yaml:5:10: teacher: files of a teacher are read where the text is submitted/,
  });
});

test('a check alone is held against files that are not stored, and makes nothing', () => {
  const request = {
    ...{ from: '*backbone.pth', networkJson: '{"kind":"mobilefacenet","embedding":8}', dryRun: false },
    stages: [1, 2].map((n) => ({ file: `${n}backbone.pth`, digest: String(n).repeat(64) })),
  };
  const { state, runIds } = withForeseen(
    initialState,
    { now: 1, connected: connections([]) },
    { [KEY]: request },
  );
  assert.deepEqual(runIds, { [KEY]: 'run-1' });
  assert.equal(runOf(state, 'run-1').job.training.epochs, 2);
  assert.equal(initialState.numbers.run, 0);
  const check = (yaml: string) => {
    const all = readSubmission(submission(yaml, runIds));
    for (const document of all) checkTeacher(document, { all, state: () => state });
  };
  const text = (distillation: string, embedding = 8) =>
    `kind: student\nname: s\nnetwork: ${NETWORK.replace('embedding: 8', `embedding: ${embedding}`)}\ndata: { kind: synthetic, identities: 8, images: 6, holdout: 3 }\ntraining: ${TRAINING}\ndistillation: ${distillation}\n`;
  const files = '{ import: "*backbone.pth", stages: by-number }';
  check(text(`{ teacher: ${files}, schedule: [1, 2] }`));
  assert.throws(() => check(text(`{ teacher: ${files}, schedule: [1, 3] }`)), {
    message: /distillation\.schedule\.1: stage 3 of a teacher that has 2 stages/,
  });
  assert.throws(() => check(text(`{ teacher: ${files} }`, 12)), {
    message: /network\.embedding: 12 differs from the 8 of teacher run-1/,
  });
});
