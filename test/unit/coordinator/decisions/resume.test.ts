import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CheckedDocument, FailureCause } from '../../../../coordinator/decisions/inputs.ts';
import { sentenceOf } from '../../../../coordinator/journal/why.ts';
import { planOf, runOf, sweepOf, trialOf } from '../../../../coordinator/model/state.ts';
import { plan, student, sweep, teacher, training } from '../../../sim/specs.ts';
import { FACTS } from '../../../sim/world.ts';
import { folded, plainOf, wholeRuns } from '../../../support/state.ts';
import { core } from './core.ts';

test('a failed run goes on from its newest checkpoint under a newer generation, with who and why in the journal', () => {
  const fleet = core(1);
  fleet.submit({ kind: 'run', spec: teacher({ workers: { min: 1, max: 1 } }), facts: FACTS });
  fleet.checkpoint('run-1', 1);
  const { generation } = runOf(fleet.state, 'run-1');
  fleet.fail('run-1', 'user', 'the image is corrupt');
  assert.deepEqual(fleet.resume('run-1', 'mended by ada'), ['run-1']);
  const run = runOf(fleet.state, 'run-1');
  assert.deepEqual([run.state, run.checkpoints.length, run.failureCause], ['running', 1, undefined]);
  assert.ok(run.generation > generation && run.endedAtMs === undefined);
  assert.ok(
    fleet.events.map((event) => sentenceOf(event, fleet.state)).includes('run-1 goes on: mended by ada'),
  );
  fleet.finish('run-1');
  assert.equal(runOf(fleet.state, 'run-1').state, 'done');
  // What is in the journal gives the same state again.
  assert.deepEqual(
    JSON.parse(JSON.stringify(wholeRuns(folded(fleet.events)))),
    JSON.parse(JSON.stringify(wholeRuns(fleet.state))),
  );
});

test('what cannot go on is refused with a sentence: done, running, or failed by its numbers', () => {
  const fleet = core(1);
  fleet.submit({ kind: 'run', spec: teacher(), facts: FACTS });
  assert.match(fleet.refusal('run-1'), /^run-1 is running: there is nothing to resume$/);
  fleet.fail('run-1', 'numeric', 'loss is not finite in step 7');
  assert.match(
    fleet.refusal('run-1'),
    /^run-1 failed by its numbers \(loss is not finite in step 7\); .* submit it with other settings/,
  );
  fleet.submit({ kind: 'run', spec: teacher(), facts: FACTS });
  fleet.finish('run-2');
  assert.match(fleet.refusal('run-2'), /^run-2 is done: there is nothing to resume$/);
  assert.match(fleet.refusal('run-9'), /"run-9" is no plan, sweep, trial or run/);
  assert.equal(fleet.state.openRuns.size, 0);
});

test('students that failed by their teacher go on with it; alone they are sent to it', () => {
  const fleet = core(2);
  fleet.submit({ kind: 'run', spec: teacher({ workers: { min: 1, max: 1 } }), facts: FACTS });
  fleet.submit({ kind: 'run', spec: student('run-1', { workers: { min: 1, max: 1 } }), facts: FACTS });
  fleet.fail('run-1', 'user');
  assert.equal(runOf(fleet.state, 'run-2').failureCause, 'teacher');
  assert.match(
    fleet.refusal('run-2'),
    /the teacher of run-2, run-1 failed: bad; it ended short of stage 1, which is needed; resume run-1/,
  );
  assert.deepEqual(fleet.resume('run-1'), ['run-1', 'run-2']);
  fleet.give({ kind: 'tick' });
  assert.deepEqual(fleet.running(), ['run-1', 'run-2']);
});

test('students of a plan and candidates of a search go on with the teacher for want of which they failed', () => {
  const one = { min: 1, max: 1 };
  const taught = { evaluation: { training, distillation: { teacher: 'teacher' } } };
  const begun = (kind: 'plan' | 'sweep', spec: ReturnType<typeof plan> | ReturnType<typeof sweep>) => {
    const fleet = core(6);
    const own = spec.kind === 'plan' && spec.teacher !== undefined;
    if (!own) fleet.submit({ kind: 'run', spec: teacher({ workers: one }), facts: FACTS });
    fleet.submit({ kind, spec, yaml: '', facts: FACTS } as CheckedDocument);
    fleet.fail('run-1', 'user');
    return fleet;
  };
  const goesOn = (fleet: ReturnType<typeof core>) => {
    const open = wholeRuns(fleet.state).map(({ id }) => id);
    const resumed = fleet.resume('run-1');
    fleet.give({ kind: 'tick' });
    assert.deepEqual(fleet.running(), open, resumed.join(', '));
  };
  const search = begun('sweep', sweep({ ...taught, strategy: { trials: 3 } }));
  assert.equal(sweepOf(search.state, 'sweep-1').state, 'failed');
  goesOn(search);
  assert.equal(sweepOf(search.state, 'sweep-1').state, 'running');

  const { students, teacher: own, search: base } = plan();
  const fixed = students.map((student) => ({ ...student, network: own!.network, workers: one }));
  const [plain, distilled] = fixed;
  const outer = { ...distilled!, distillation: { teacher: 'run-1' } };
  const ofPlan = { search: undefined, teacher: undefined, export: undefined };
  const students2 = begun('plan', plan({ ...ofPlan, students: [plain, outer] }));
  assert.equal(planOf(students2.state, 'plan-1').state, 'failed');
  goesOn(students2);
  assert.equal(planOf(students2.state, 'plan-1').state, 'running');

  // The teacher is the plan's own, and its candidates learn from it.
  const whole = plan({
    search: { ...base, ...taught, strategy: { trials: 3 } },
    teacher: { ...own!, start: 'at-once', workers: one },
  });
  for (const named of ['plan-1', 'run-1']) {
    const fleet = begun('plan', whole);
    fleet.resume(named);
    fleet.give({ kind: 'tick' });
    assert.equal(planOf(fleet.state, 'plan-1').state, 'running');
    assert.deepEqual(fleet.running(), ['run-1', 'run-2', 'run-3', 'run-4']);
  }

  // A plan that cannot go on keeps nobody else: it waits for another teacher, too.
  const fleet = core(6);
  for (const name of ['a', 'b'])
    fleet.submit({ kind: 'run', spec: teacher({ name, workers: one }), facts: FACTS });
  const ofB = { ...outer, name: 'of-b', distillation: { teacher: 'run-2' } };
  fleet.submit({ kind: 'plan', spec: plan({ ...ofPlan, students: [outer, ofB] }), yaml: '', facts: FACTS });
  fleet.submit({ kind: 'run', spec: student('run-1', { workers: one }), facts: FACTS });
  for (const id of ['run-1', 'run-2']) fleet.give({ kind: 'cancel', id, reason: '' });
  const at = fleet.events.length;
  assert.deepEqual(fleet.resume('run-1'), ['run-1', 'run-5']);
  const texts = fleet.events.slice(at).map((event) => sentenceOf(event, fleet.state));
  assert.ok(!texts.some((text) => /plan-1|run-3|run-4/.test(text)), texts.join('\n'));
  assert.match(fleet.refusal('plan-1'), /the teacher of run-4, run-2 was cancelled.*; resume run-2/);
  fleet.resume('run-2');
  assert.deepEqual(fleet.resume('plan-1'), ['plan-1', 'run-3', 'run-4']);
  assert.deepEqual(plainOf(folded(fleet.events)), plainOf(fleet.state));
});

test('a student may name its teacher by the name that one run has', () => {
  const fleet = core(0);
  fleet.submit({ kind: 'run', spec: teacher({ name: 'large' }), facts: FACTS });
  fleet.submit({ kind: 'run', spec: student('large'), facts: FACTS });
  const { teacherRunId, job } = runOf(fleet.state, 'run-2');
  assert.deepEqual([teacherRunId, job.distillation?.teacher], ['run-1', 'run-1']);
  fleet.submit({ kind: 'run', spec: teacher({ name: 'large' }), facts: FACTS });
  assert.throws(() => fleet.submit({ kind: 'run', spec: student('large'), facts: FACTS }), {
    message: /^distillation\.teacher: 2 runs are named large; give the id of one, e\.g\. run-3, run-1$/,
  });
});

test('a plan goes on whole, whichever of its parts is named: its search stays, teacher and students continue', () => {
  for (const named of ['plan-1', 'teacher']) {
    const fleet = core(3);
    const spec = plan({ search: { ...plan().search, strategy: { trials: 1 } } });
    fleet.submit({ kind: 'plan', spec, yaml: '', facts: FACTS });
    fleet.finish('run-1');
    const { teacherRunId, studentRunIds } = planOf(fleet.state, 'plan-1');
    fleet.checkpoint(teacherRunId!, 1);
    fleet.fail(teacherRunId!, 'user', 'no such image');
    assert.equal(planOf(fleet.state, 'plan-1').state, 'failed');
    const all = ['plan-1', teacherRunId, ...studentRunIds];
    assert.deepEqual(fleet.resume(named === 'teacher' ? teacherRunId! : named), all);
    assert.equal(planOf(fleet.state, 'plan-1').state, 'running');
    for (const id of [teacherRunId!, ...studentRunIds]) fleet.finish(id);
    assert.equal(planOf(fleet.state, 'plan-1').state, 'done');
  }
});

test('a sweep whose trials fail one after the other for one cause stops with it, and goes on when it is resumed', () => {
  const fleet = core(1);
  fleet.submit({ kind: 'sweep', spec: sweep({ strategy: { trials: 100 } }), facts: FACTS });
  fleet.finish('run-1');
  for (let n = 2; n <= 6; n++) {
    assert.equal(sweepOf(fleet.state, 'sweep-1').state, 'running', `${n - 2} failures`);
    fleet.fail(`run-${n}`, 'user', 'the image is corrupt');
  }
  const stopped = sweepOf(fleet.state, 'sweep-1');
  assert.deepEqual([stopped.state, stopped.trialsFailed, stopped.trialsProposed], ['failed', 5, 6]);
  assert.match(
    stopped.reason,
    /^5 trials in a row failed for one cause \(user\), the last: trial-6 failed: the image is corrupt; 94 of 100 trials were not begun\. .*resume sweep-1` goes on$/,
  );
  assert.deepEqual(fleet.running(), []);
  const resumed = fleet.resume('sweep-1');
  assert.deepEqual(resumed.slice(0, 3), ['sweep-1', 'trial-2', 'run-2']);
  const going = sweepOf(fleet.state, 'sweep-1');
  assert.deepEqual([going.state, going.trialsFailed, going.openTrials.size], ['running', 0, 5]);
  for (let n = 2; n <= 8; n++) fleet.finish(`run-${n}`);
  assert.equal(sweepOf(fleet.state, 'sweep-1').trialsDone, 8);
  assert.equal(trialOf(fleet.state, 'trial-2').runIds.length, 1, 'the same attempt');
});

test('a success, another cause or a larger bound lets a sweep go on', () => {
  const fleet = core(1);
  const spec = sweep({ strategy: { trials: 100 }, failuresInRowMax: 3, attemptsMax: 1 });
  fleet.submit({ kind: 'sweep', spec, facts: FACTS });
  const story: (FailureCause | 'done')[] = [
    'user',
    'user',
    'done',
    'user',
    'user',
    'numeric',
    'numeric',
    'user',
  ];
  for (const [i, what] of story.entries()) {
    if (what === 'done') fleet.finish(`run-${i + 1}`);
    else fleet.fail(`run-${i + 1}`, what);
  }
  assert.equal(sweepOf(fleet.state, 'sweep-1').state, 'running');
  for (const n of [9, 10]) fleet.fail(`run-${n}`, 'user');
  assert.equal(sweepOf(fleet.state, 'sweep-1').state, 'failed');
});

test('a fault of a place burns no trial however often: the run waits, and the sweep with it', () => {
  const fleet = core(1);
  fleet.submit({ kind: 'sweep', spec: sweep({ strategy: { trials: 100 } }), facts: FACTS });
  for (let n = 0; n < 12; n++) {
    while (fleet.running().length === 0) fleet.give({ kind: 'tick' });
    const [id] = fleet.running();
    const { generation, gang } = runOf(fleet.state, id!);
    const said = {
      kind: 'failed',
      runId: id!,
      generation,
      cause: 'infrastructure',
      message: 'ENOENT',
      step: 0,
    } as const;
    const report = { ...said, ofPlace: true };
    fleet.give({ kind: 'reported', workerId: gang[0]!.workerId, incarnation: 'i', sequence: 1, report });
  }
  const { trialsFailed, trialsProposed, state } = sweepOf(fleet.state, 'sweep-1');
  assert.deepEqual([trialsFailed, trialsProposed, state], [0, 1, 'running']);
});

test("a teacher's failure fails students that need a stage which is not stored, and no other", () => {
  const fleet = core(4);
  const one = { min: 1, max: 1 };
  fleet.submit({ kind: 'run', spec: teacher({ workers: one }), facts: FACTS });
  const student2 = (schedule: unknown) =>
    fleet.submit({
      kind: 'run',
      spec: student('run-1', { workers: one, distillation: { teacher: 'run-1', schedule } }),
      facts: FACTS,
    });
  student2('multi-step');
  student2([1, 1]);
  fleet.checkpoint('run-1', 1);
  fleet.fail('run-1', 'user');
  assert.deepEqual(
    [runOf(fleet.state, 'run-2').state, runOf(fleet.state, 'run-3').state],
    ['failed', 'running'],
  );
  assert.equal(
    runOf(fleet.state, 'run-2').reason,
    'its teacher run-1 failed: bad; it ended short of stage 2, which is needed',
  );
  assert.throws(() => student2('single-step'), {
    message: 'distillation.teacher: run-1 failed: bad; it ended short of stage 2, which is needed',
  });
  student2([1, 1]);
  assert.equal(runOf(fleet.state, 'run-4').state, 'running', 'what it needs is stored');
  assert.deepEqual(fleet.resume('run-1'), ['run-1', 'run-2']);
  // It fails in its verification, with all of its stages stored.
  fleet.checkpoint('run-1', 2);
  fleet.fail('run-1', 'user', 'a bad pair');
  assert.deepEqual(
    ['run-1', 'run-2', 'run-3'].map((id) => runOf(fleet.state, id).state),
    ['failed', 'running', 'running'],
  );
  student2('single-step');
  for (const id of ['run-2', 'run-3', 'run-4', 'run-5']) fleet.finish(id);
  fleet.give({ kind: 'tick' });
  assert.ok(['run-2', 'run-3', 'run-4', 'run-5'].every((id) => runOf(fleet.state, id).state === 'done'));
});

test('a plan goes on without a teacher that failed after its last stage, and says so', () => {
  const fleet = core(3);
  const { search: _, students, ...rest } = plan();
  const alone = students.map((of) => ({ ...of, network: teacher().network }));
  fleet.submit({
    kind: 'plan',
    spec: plan({ ...rest, search: undefined, students: alone }),
    yaml: '',
    facts: FACTS,
  });
  const { teacherRunId, studentRunIds } = planOf(fleet.state, 'plan-1');
  for (const stage of [1, 2]) fleet.checkpoint(teacherRunId!, stage);
  fleet.fail(teacherRunId!, 'user');
  assert.equal(planOf(fleet.state, 'plan-1').state, 'running');
  for (const id of studentRunIds) fleet.finish(id);
  const { state, reason } = planOf(fleet.state, 'plan-1');
  assert.equal(state, 'done');
  assert.match(reason, /^2 runs done; .*; its teacher, run-1 failed: bad, had stored its last stage$/);
});
