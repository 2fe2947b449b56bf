// Teachers whose stages come from files, in the core: who waits for them, and that equal files are one teacher.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sentenceOf } from '../../../../coordinator/journal/why.ts';
import { planOf, runOf } from '../../../../coordinator/model/state.ts';
import { sweepIn } from '../../../../core/spec/plan-search.ts';
import type { RunSpec } from '../../../../core/spec/run.ts';
import { plan, student, teacher, training } from '../../../sim/specs.ts';
import { FACTS } from '../../../sim/world.ts';
import { folded, plainOf } from '../../../support/state.ts';
import { core } from './core.ts';

/** A teacher of two stages whose digest begins with this digit. */
function files(digit: string): RunSpec {
  const digest = digit.repeat(64);
  const stages = ['11372backbone.pth', '22744backbone.pth'].map((file) => ({ file, digest }));
  const training = { epochs: 2, batch: 2, shards: 1 };
  const workers = { min: 1, max: 1 };
  return teacher({
    name: `files-${digit}`,
    training,
    workers,
    imported: { from: '*backbone.pth', digest, stages },
  });
}

function imported(fleet: ReturnType<typeof core>, spec: RunSpec): string {
  const { answer } = fleet.give({ kind: 'import', spec });
  assert.ok(answer?.kind === 'submitted');
  return answer.runIds[0]!;
}

const stage = (fleet: ReturnType<typeof core>, runId: string, stage: number) =>
  fleet.give({
    ...{ kind: 'imported', runId, stage, bytes: 8 },
    ...{ digest: `d${stage}`, weightsDigest: 'w', stateDigest: 's' },
  });

test('a teacher from files gets no worker, its student follows its stages, and it is done with the last', () => {
  const fleet = core(2);
  const id = imported(fleet, files('a'));
  assert.deepEqual([runOf(fleet.state, id).state, fleet.running()], ['paused', []]);
  assert.match(runOf(fleet.state, id).reason, /^its files are being stored; .* stores the rest$/);
  fleet.submit({ kind: 'run', spec: student(id, { workers: { min: 1, max: 1 } }), facts: FACTS });
  stage(fleet, id, 1);
  stage(fleet, id, 1);
  fleet.give({ kind: 'tick' });
  assert.deepEqual(fleet.running(), ['run-2'], 'it begins with the first stage');
  assert.throws(() => fleet.resume(id), /gets its stages from files and is never trained; submit the text/);
  stage(fleet, id, 2);
  const run = runOf(fleet.state, id);
  assert.deepEqual([run.state, run.checkpoints.map((one) => one.stage), run.gang], ['done', [1, 2], []]);
  const told = fleet.events.map((event) => sentenceOf(event, fleet.state));
  assert.ok(told.includes('run-1 (teacher files-a) was created: imported from *backbone.pth'));
  assert.ok(told.includes('run-1 stored checkpoint 2 (step 2, 8 bytes)'));
  assert.deepEqual(plainOf(folded(fleet.events)), plainOf(fleet.state));
});

test('equal files are one teacher, while what is stored of it is whole', () => {
  const fleet = core(0);
  const id = imported(fleet, files('a'));
  stage(fleet, id, 1);
  assert.equal(imported(fleet, files('a')), id, 'an import that was cut off goes on');
  stage(fleet, id, 2);
  const events = fleet.events.length;
  assert.equal(imported(fleet, files('a')), id);
  assert.equal(fleet.events.length, events, 'nothing is decided again');
  assert.equal(imported(fleet, files('b')), 'run-2');
  fleet.give({ kind: 'cancel', id: 'run-2', reason: '' });
  assert.equal(imported(fleet, files('b')), 'run-3');
  fleet.give({ kind: 'drop', runId: id, stage: 1, reason: '' });
  assert.equal(imported(fleet, files('a')), 'run-4', 'a stage of the first is gone');
});

test('students of a plan learn from a teacher that is no part of it, and the plan fails when that has lost a stage', () => {
  const fleet = core(2);
  const id = imported(fleet, files('a'));
  for (const number of [1, 2]) stage(fleet, id, number);
  const { students } = plan();
  const search = sweepIn(plan());
  const [, distilled] = students;
  const spec = plan({
    search: { ...search, strategy: { ...search?.strategy, trials: 1 } },
    teacher: undefined,
    students: [{ ...distilled, distillation: { teacher: `files-a`, adapter: 'linear' } }],
  });
  fleet.submit({ kind: 'plan', spec, yaml: '', facts: FACTS });
  fleet.finish('run-2');
  const [studentId] = planOf(fleet.state, 'plan-1').studentRunIds;
  const { teacherRunId, job } = runOf(fleet.state, studentId!);
  assert.deepEqual(
    [teacherRunId, job.distillation?.teacher, job.distillation?.teacherEmbedding],
    [id, id, 16],
    'the size of the teacher is a part of the spec',
  );
  fleet.finish(studentId!);
  assert.equal(planOf(fleet.state, 'plan-1').state, 'done');

  const late = core(2);
  const lost = imported(late, files('b'));
  for (const number of [1, 2]) stage(late, lost, number);
  late.submit({
    kind: 'plan',
    spec: {
      ...spec,
      students: [
        { ...spec.students[0]!, distillation: { ...spec.students[0]!.distillation!, teacher: lost } },
      ],
    },
    yaml: '',
    facts: FACTS,
  });
  const distillation = { teacher: lost, adapter: 'linear' };
  late.submit({ kind: 'run', spec: student(lost, { distillation }), facts: FACTS });
  const damaged = { runId: lost, stage: 1 };
  late.report('run-3', { kind: 'failed', cause: 'infrastructure', message: 'a changed bit', damaged });
  late.give({ kind: 'mended', ...damaged, ok: false, reason: 'its files are gone' });
  late.finish('run-2');
  const { state, reason } = planOf(late.state, 'plan-1');
  assert.equal(state, 'failed');
  assert.match(reason, /^its student distilled has no teacher: stage 1 of run-1 is lost: a changed bit/);
  assert.throws(() => late.submit({ kind: 'plan', spec, yaml: '', facts: FACTS }), {
    message:
      /^students\.0\.distillation\.teacher: "files-a" is neither a teacher run of this text nor a run of this fleet/,
  });
});

test('students that a plan will have of a run hold its stages and the run itself before they are made', () => {
  const fleet = core(4);
  const long = { ...training, epochs: 4 };
  const one = { min: 1, max: 1 };
  fleet.submit({ kind: 'run', spec: teacher({ training: long, workers: one }), facts: FACTS });
  // Another student is ahead of them.
  fleet.submit({ kind: 'run', spec: student('run-1', { training: long, workers: one }), facts: FACTS });
  const [, distilled] = plan().students;
  const students = [{ ...distilled, training: long, workers: one, distillation: { teacher: 'run-1' } }];
  const search = { ...plan().search, strategy: { trials: 1 } };
  const spec = plan({ search, teacher: undefined, students });
  fleet.submit({ kind: 'plan', spec, yaml: '', facts: FACTS });
  for (const id of ['run-1', 'run-2']) {
    for (let stage = 1; stage <= 4; stage++) fleet.checkpoint(id, stage);
    fleet.finish(id);
  }
  const held = () => runOf(fleet.state, 'run-1').checkpoints.map(({ held = 'all' }) => held);
  assert.deepEqual(held(), ['network', 'network', 'all', 'all']);
  assert.throws(() => fleet.give({ kind: 'drop', runId: 'run-1', stage: 1, reason: '' }), {
    message: 'stage 1 of run-1 is needed by plan-1',
  });
  fleet.give({ kind: 'remove', id: 'run-2', reason: '' });
  assert.throws(() => fleet.give({ kind: 'remove', id: 'run-1', reason: '' }), {
    message: /^students of plan-1 will learn from run-1; wait for the end of that plan, or cancel it$/,
  });
  fleet.finish('run-3');
  assert.equal(runOf(fleet.state, 'run-4').teacherRunId, 'run-1');
  assert.equal(planOf(fleet.state, 'plan-1').state, 'running');
  // A plan that ends before it has made them needs nothing.
  fleet.give({ kind: 'cancel', id: 'plan-1', reason: '' });
  fleet.give({ kind: 'remove', id: 'plan-1', reason: '' });
  fleet.submit({ kind: 'plan', spec, yaml: '', facts: FACTS });
  fleet.give({ kind: 'cancel', id: 'plan-2', reason: '' });
  fleet.give({ kind: 'remove', id: 'run-1', reason: '' });
});
