// Runs that compute the same: the later one takes the result of the one that has ended, waits for the one that
// trains, and computes where there is neither, or where what it needs is gone.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forecastOf } from '../../../../coordinator/api/forecast.ts';
import type { CheckedDocument, WorkerHello } from '../../../../coordinator/decisions/inputs.ts';
import type { EventOf } from '../../../../coordinator/model/events.ts';
import { allNumbers } from '../../../../coordinator/model/roll.ts';
import { encodeState } from '../../../../coordinator/model/snapshot.ts';
import { decodeState } from '../../../../coordinator/model/snapshot-decoder.ts';
import {
  planOf,
  runOf,
  runWith,
  sweepOf,
  trialOf,
  wholeRunWith,
} from '../../../../coordinator/model/state.ts';
import { createBoard } from '../../../../coordinator/scheduling/board.ts';
import { plan, student, sweep, teacher, training } from '../../../sim/specs.ts';
import { FACTS } from '../../../sim/world.ts';
import { connections, plainOf, waitsIn } from '../../../support/state.ts';
import { core } from './core.ts';

const facts = { ...FACTS, digest: 'd' };
const CODE = 'c0de0001';
const run = (change: Record<string, unknown> = {}): CheckedDocument => ({
  kind: 'run',
  spec: teacher(change),
  facts,
});
const search = (change: Record<string, unknown> = {}): CheckedDocument => ({
  kind: 'sweep',
  spec: sweep(change),
  facts,
});
const whole = (change: Record<string, unknown> = {}): CheckedDocument => ({
  kind: 'plan',
  spec: plan(change),
  facts,
  yaml: '',
});
/** Two trials, one at a time. */
const small = { strategy: { trials: 2 }, parallelism: 1 };

/** A core whose workers say which code they are; what its state says is checked at the end of the test. */
function fleet(t: { after(check: () => void): void }, workers: number, about: Partial<WorkerHello> = {}) {
  const made = core(workers, { code: CODE, deviceClass: 'cpu/a', ...about });
  t.after(() => {
    const stored = JSON.parse(JSON.stringify([...encodeState(made.state)]));
    assert.deepEqual(plainOf(decodeState(stored)), plainOf(made.state), 'a snapshot gives the same state');
  });
  const done = (id: string, accuracy?: number, digest?: string) => {
    const { epochs } = runOf(made.state, id).job.training;
    for (let stage = 1; stage <= epochs; stage++) made.checkpoint(id, stage);
    made.finish(id, accuracy, digest);
  };
  const eventsOf = <K extends string>(kind: K) => made.events.filter((event) => event.kind === kind);
  return Object.assign(made, { done, eventsOf });
}

test('a run that is submitted again takes the result of the first, and whoever asks for a fresh one computes', (t) => {
  const f = fleet(t, 2);
  f.submit(run());
  f.done('run-1', 0.8);
  f.submit(run({ name: 'again', priority: 90, workers: { min: 1, max: 2 } }));
  const { reason, state, weightsDigest, evaluation, generation } = runOf(f.state, 'run-2');
  assert.deepEqual([state, reason, weightsDigest, generation], ['done', 'reused run-1', 'w', 0]);
  assert.equal(evaluation?.accuracy, 0.8);
  f.submit(run({ training: { ...teacher().training, seed: 2 } }));
  f.submit(run({ reuse: 'none' }));
  assert.deepEqual(f.running(), ['run-3', 'run-4']);
  f.done('run-4', 0.8);
  assert.deepEqual(f.eventsOf('result.conflicted'), [], 'the same bits again');
});

test('two runs of one key with other bits are named, and nothing is taken from either', (t) => {
  const f = fleet(t, 1);
  f.submit(run());
  f.done('run-1', 0.8, 'one');
  f.submit(run({ reuse: 'none' }));
  f.done('run-2', 0.8, 'two');
  const [conflict] = f.eventsOf('result.conflicted') as EventOf<'result.conflicted'>[];
  assert.deepEqual(
    [conflict?.runId, conflict?.otherRunId, conflict?.weightsDigest, conflict?.otherWeightsDigest],
    ['run-2', 'run-1', 'two', 'one'],
  );
  f.submit(run());
  assert.deepEqual(f.running(), ['run-3']);
  f.done('run-3', 0.8, 'two');
  f.submit(run());
  assert.deepEqual(f.running(), ['run-4'], 'not from a third either: nobody knows which is right');
});

test('other bits of another device class, or where equal ones are not promised, are no conflict', (t) => {
  const f = fleet(t, 1);
  const training = { ...teacher().training, exact: false };
  f.submit(run({ reuse: 'none' }));
  f.done('run-1', 0.8, 'one');
  for (const digest of ['one', 'two']) {
    f.submit(run({ reuse: 'none', training }));
    f.done(f.running()[0]!, 0.8, digest);
  }
  f.give({ kind: 'lost', workerId: 'w1', incarnation: 'i', cause: 'silent', reason: 'gone' });
  f.attach('b1', { deviceClass: 'cpu/b' });
  f.submit(run({ reuse: 'none' }));
  f.done('run-4', 0.8, 'two');
  assert.equal(f.eventsOf('run.finished').length, 4);
  assert.deepEqual(f.eventsOf('result.conflicted'), []);
});

test('a run takes checkpoints of a device class that is there, a candidate any result, and both of their own code', (t) => {
  const f = fleet(t, 1);
  f.submit(run());
  f.done('run-1');
  f.give({ kind: 'lost', workerId: 'w1', incarnation: 'i', cause: 'silent', reason: 'gone' });
  f.submit(run({ name: 'nobody' }));
  assert.equal(runOf(f.state, 'run-2').state, 'queued', 'nobody could compute the same bits now');
  f.submit(run({ name: 'any', reuse: 'any' }));
  assert.equal(runOf(f.state, 'run-3').reason, 'reused run-1');
  f.attach('b1', { deviceClass: 'cpu/b' });
  assert.deepEqual(f.running(), ['run-2'], 'of another class');
  f.attach('b2', { deviceClass: 'cpu/b', code: 'c0de0002' });
  f.submit(run({ name: 'other-code', reuse: 'any' }));
  assert.deepEqual(f.running(), ['run-2', 'run-4']);
});

test('a run that waited for workers takes the result when it would get one of that class', (t) => {
  const f = fleet(t, 1);
  f.submit(run());
  f.done('run-1');
  f.give({ kind: 'lost', workerId: 'w1', incarnation: 'i', cause: 'silent', reason: 'gone' });
  f.submit(run({ name: 'again' }));
  f.attach('w2');
  assert.equal(runOf(f.state, 'run-2').reason, 'reused run-1');
});

test('a result without its checkpoint serves a candidate and no other run', (t) => {
  const f = fleet(t, 1);
  f.submit(run());
  f.finish('run-1');
  f.submit(run({ name: 'again' }));
  assert.deepEqual(f.running(), ['run-2']);
});

test('a sweep that is submitted again ends at once with the results of the first', (t) => {
  const f = fleet(t, 1);
  f.submit(search(small));
  f.done('run-1', 0.6);
  f.done('run-2', 0.7);
  const { events } = f.submit(search({ ...small, name: 'again', weight: 3 }));
  assert.equal(sweepOf(f.state, 'sweep-2').state, 'done');
  assert.equal(trialOf(f.state, 'trial-3').reason, 'accuracy 0.6000 (reused run-1 of sweep-1)');
  assert.deepEqual(trialOf(f.state, 'trial-4').objectives, { accuracy: 0.7 });
  assert.ok(events.every(({ kind }) => kind !== 'run.assigned' && kind !== 'stage.dropped'));
  f.give({ kind: 'remove', id: 'sweep-1', reason: '' });
  f.submit(search({ ...small, name: 'third' }));
  assert.match(trialOf(f.state, 'trial-5').reason, /reused run-1, which was removed/);
  f.submit(search({ ...small, name: 'fresh', reuse: 'none' }));
  assert.deepEqual(f.running(), ['run-7']);
  f.give({ kind: 'cancel', id: 'sweep-4', reason: '' });
  for (const id of ['sweep-2', 'sweep-3']) f.give({ kind: 'remove', id, reason: '' });
  f.submit(search({ ...small, name: 'fifth' }));
  assert.deepEqual(f.running(), ['run-8'], 'nobody has the result any more');
});

test('results at rungs are taken too: of runs that stand there, went on since, passed them, or had a part of the images', (t) => {
  const rungs = [{}, { mode: 'stop', atRungs: 'go-on' }, { fidelity: 'images', fractionMin: 0.5 }];
  for (const more of rungs) {
    const f = fleet(t, 2);
    const strategy = { kind: 'asha', trials: 6, eta: 2, lag: 2, ...more };
    const evaluation = { training: { ...training, epochs: 4 } };
    const document = search({ strategy, evaluation, parallelism: 2 });
    const train = () => {
      for (let left = 100; f.running().length > 0 && left > 0; left--) {
        const [id = ''] = f.running();
        const { trialId = '', haltStage = 4, evaluateStages, checkpoints } = runOf(f.state, id);
        const { number } = trialOf(f.state, trialId);
        const accuracyAt = (stage: number) => 0.5 + ((number * 7) % 5) / 20 + stage / 100;
        const next = (checkpoints.at(-1)?.stage ?? 0) + 1;
        if (evaluateStages !== undefined && next < 4)
          f.checkpoint(id, next, evaluateStages.includes(next) ? accuracyAt(next) : undefined);
        else f.finish(id, accuracyAt(haltStage));
      }
    };
    const shown = (sweepId: string) =>
      [...allNumbers(sweepOf(f.state, sweepId).trialIds)].map((number) => {
        const { objectives, isStopped, fidelity } = trialOf(f.state, `trial-${number}`);
        return { objectives, isStopped, fidelity };
      });
    f.submit(document);
    train();
    assert.equal(sweepOf(f.state, 'sweep-1').state, 'done');
    const trained = f.eventsOf('run.assigned').length;
    f.submit(document);
    assert.deepEqual(f.running(), [], 'nothing is computed');
    assert.equal(f.eventsOf('run.assigned').length, trained);
    assert.equal(sweepOf(f.state, 'sweep-2').state, 'done');
    assert.deepEqual(shown('sweep-2'), shown('sweep-1'));
    const taken = f.eventsOf('run.reused') as EventOf<'run.reused'>[];
    assert.ok(taken.length > 6 && taken.some(({ runId }) => runWith(f.state, runId)?.state === 'done'));
  }
});

test('of two runs in flight the one waits for the other, is told who that is, and takes its result', (t) => {
  const f = fleet(t, 3);
  f.submit(run({ workers: { min: 1, max: 1 } }));
  f.submit(run({ name: 'second' }));
  f.submit(run({ name: 'third', reuse: 'none', workers: { min: 1, max: 1 } }));
  assert.deepEqual(f.running(), ['run-1', 'run-3']);
  const waits = waitsIn(f.state, { now: 0, connected: connections(['w1', 'w2', 'w3']) });
  assert.deepEqual(waits.of('run-2'), {
    kind: 'twin',
    reason: 'queued: waits for run-1, which computes the same',
  });
  assert.equal(waits.counts().get('twin'), 1);
  f.done('run-1', 0.9);
  assert.equal(runOf(f.state, 'run-2').reason, 'reused run-1');
});

for (const what of ['fails', 'is cancelled', 'loses its worker'])
  test(`a run computes by itself when the one that it waits for ${what}`, (t) => {
    const f = fleet(t, 2);
    f.submit(run({ reuse: 'any', require: { labels: { a: 'b' } } }));
    f.submit(run({ name: 'second', workers: { min: 1, max: 1 } }));
    assert.deepEqual(f.running(), ['run-2'], 'nobody waits for one that waits for workers');
    assert.equal(runOf(f.state, 'run-1').twinRunId, 'run-2');
    f.give({ kind: 'cancel', id: 'run-1', reason: '' });
    f.submit(run({ name: 'third', priority: 90 }));
    assert.equal(runOf(f.state, 'run-3').twinRunId, 'run-2');
    const { workerId } = runOf(f.state, 'run-2').gang[0]!;
    if (what === 'fails') f.fail('run-2', 'user');
    else if (what === 'is cancelled') f.give({ kind: 'cancel', id: 'run-2', reason: '' });
    else f.give({ kind: 'lost', workerId, incarnation: 'i', cause: 'silent', reason: 'gone' });
    assert.equal(runOf(f.state, 'run-3').state, 'running');
    if (what !== 'loses its worker') return;
    assert.equal(runOf(f.state, 'run-2').twinRunId, 'run-3', 'the first to get workers trains');
    f.done('run-3');
    assert.equal(runOf(f.state, 'run-2').reason, 'reused run-3');
  });

test('nobody waits for a run that is paused', (t) => {
  const f = fleet(t, 2);
  f.submit(run({ workers: { min: 1, max: 1 } }));
  f.submit(run({ name: 'second', workers: { min: 1, max: 1 } }));
  f.give({ kind: 'pause', id: 'run-1', reason: '' });
  const { generation } = runOf(f.state, 'run-1');
  const report = { kind: 'paused', runId: 'run-1', generation, step: 0 } as const;
  f.give({ kind: 'reported', workerId: 'w1', incarnation: 'i', sequence: 1, report });
  assert.deepEqual(f.running(), ['run-2']);
  f.give({ kind: 'resume', id: 'run-1', reason: '' });
  assert.equal(runOf(f.state, 'run-1').twinRunId, 'run-2');
  f.done('run-2');
  assert.equal(runOf(f.state, 'run-1').reason, 'reused run-2');
});

test('two sweeps that run beside each other compute each candidate once', (t) => {
  const f = fleet(t, 2);
  f.submit(search(small));
  f.submit(search({ ...small, name: 'beside' }));
  assert.deepEqual(f.running(), ['run-1']);
  f.done('run-1', 0.6);
  const [next] = f.running();
  f.done(next!, 0.7);
  for (const id of ['sweep-1', 'sweep-2']) assert.equal(sweepOf(f.state, id).state, 'done');
  assert.equal(f.eventsOf('run.finished').length, 2);
  assert.equal(f.eventsOf('run.reused').length, 2);
});

test('a plan that is submitted again is done at once; a changed one trains what is new, and its teacher where stages are gone', (t) => {
  const f = fleet(t, 4);
  const small = plan().search!;
  const change = { search: { ...small, strategy: { trials: 1 } } };
  f.submit(whole(change));
  for (let open = f.running(); open.length > 0; open = f.running()) {
    const id = open.find((one) => runOf(f.state, one).job.kind !== 'student') ?? open[0]!;
    f.done(id, 0.7);
  }
  assert.equal(planOf(f.state, 'plan-1').state, 'done');
  f.submit(whole({ ...change, name: 'again' }));
  const again = planOf(f.state, 'plan-2');
  assert.equal(again.state, 'done');
  assert.deepEqual(
    [...again.studentRunIds, again.teacherRunId!].map((id) => runOf(f.state, id).reason),
    ['reused run-3 of plan-1', 'reused run-4 of plan-1', 'reused run-2 of plan-1'],
  );
  assert.throws(
    () => f.give({ kind: 'remove', id: 'plan-1', reason: '' }),
    /run-\d+ (learned from|took the result of) run-\d+.*; remove it first/,
  );
  const [plain, distilled] = plan().students;
  const students = [plain, { ...distilled, distillation: { weight: 50 } }];
  f.submit(whole({ ...change, name: 'changed', students }));
  const { teacherRunId } = planOf(f.state, 'plan-3');
  const gone = runOf(f.state, 'run-2').checkpoints.some(({ held }) => held === 'nothing');
  assert.equal(runOf(f.state, teacherRunId!).state === 'running', gone);
  assert.equal(
    f.running().filter((id) => wholeRunWith(f.state, id)?.planId === 'plan-3').length,
    gone ? 2 : 1,
  );
});

test('a teacher and its student of one text are taken together, and the student of a taken teacher learns from the first', (t) => {
  const f = fleet(t, 2);
  const text = (weight: number): CheckedDocument[] => [
    run({ workers: { min: 1, max: 1 } }),
    {
      kind: 'run',
      spec: student('teacher', { workers: { min: 1, max: 1 }, distillation: { teacher: 'teacher', weight } }),
      facts,
    },
  ];
  f.give({ kind: 'submit', documents: text(100) });
  f.done('run-1');
  f.done('run-2');
  f.give({ kind: 'submit', documents: text(100) });
  assert.deepEqual(
    ['run-3', 'run-4'].map((id) => runOf(f.state, id).reason),
    ['reused run-1', 'reused run-2'],
  );
  f.give({ kind: 'submit', documents: text(50) });
  const other = runOf(f.state, 'run-6');
  assert.equal(other.teacherRunId, runWith(f.state, 'run-5')?.state === 'done' ? 'run-1' : 'run-5');
});

test('what learned from stages that are not kept any more is taken when it is submitted again, and nothing new begins', (t) => {
  const f = fleet(t, 2);
  const one = { min: 1, max: 1 };
  const long = { ...training, epochs: 4 };
  const taughtBy = (teacher: string, change: Record<string, unknown> = {}) =>
    student(teacher, {
      ...{ workers: one, training: long },
      distillation: { teacher, schedule: 'multi-step', ...change },
    });
  const ofRun = (teacher: string, change?: Record<string, unknown>): CheckedDocument => ({
    kind: 'run',
    spec: taughtBy(teacher, change),
    facts,
  });
  const text = [run({ workers: one, training: long }), ofRun('teacher')];
  f.give({ kind: 'submit', documents: text });
  for (let stage = 1; stage <= 4; stage++) for (const id of ['run-1', 'run-2']) f.checkpoint(id, stage);
  for (const id of ['run-1', 'run-2']) f.finish(id);
  const held = runOf(f.state, 'run-1').checkpoints.map(({ held = 'all' }) => held);
  assert.deepEqual(held, ['nothing', 'nothing', 'all', 'all']);
  const reasons = (...ids: string[]) => ids.map((id) => runOf(f.state, id).reason);
  // The whole text, the student alone by the run that it named, and by the one that took its result.
  f.give({ kind: 'submit', documents: text });
  assert.deepEqual(reasons('run-3', 'run-4'), ['reused run-1', 'reused run-2']);
  for (const teacher of ['run-1', 'run-3']) f.submit(ofRun(teacher));
  assert.deepEqual(reasons('run-5', 'run-6'), ['reused run-2', 'reused run-2']);
  assert.throws(() => f.submit(ofRun('run-1', { weight: 3 })), {
    message: /^distillation\.teacher: stages 1, 2 of run-1 are not kept any more .* multi-step student/,
  });
  // In a text of its own the teacher is computed again for it.
  f.give({ kind: 'submit', documents: [text[0]!, ofRun('teacher', { weight: 3 })] });
  assert.equal(runOf(f.state, 'run-7').reused, undefined);
  f.give({ kind: 'cancel', id: 'run-7', reason: '' });

  // The same of a plan whose student names a run: with a network of its own, and with one that is found.
  const { network, data: _data, kind: _kind, ...part } = taughtBy('run-1');
  const planned = (student: object, search: object = { search: undefined }): CheckedDocument => {
    const students = [{ ...part, ...student }];
    const document = whole({ ...search, teacher: undefined, export: undefined, students });
    // What is undefined is not there in a text.
    return { ...document, spec: JSON.parse(JSON.stringify(document.spec)) };
  };
  f.submit(planned({ network }));
  assert.equal(planOf(f.state, 'plan-1').state, 'done');
  const found = { search: { ...plan().search, ...small } };
  // That one may be found whose student is there is not known before the search has ended.
  f.submit(planned({ network: 'best' }, found));
  for (let trial = 1; trial <= 2; trial++) f.done(`run-${f.state.numbers.run}`);
  const { state, reason } = planOf(f.state, 'plan-2');
  assert.equal(state, 'failed');
  assert.match(reason, /^its student student has no teacher: stages 1, 2 of run-1 are not kept any more/);
  const other = { network: 'best', training: { ...long, seed: 9 } };
  assert.throws(() => f.submit(planned(other, found)), {
    message: /^students\.0\.distillation\.teacher: stages 1, 2 of run-1 are not kept any more/,
  });
});

test('a search that learns from a teacher is taken again when its stages are let go; another one has the teacher trained again', async (t) => {
  const f = fleet(t, 3);
  const workers = { min: 1, max: 1 };
  const long = { ...training, epochs: 4 };
  const { network } = plan().teacher!;
  const text = (change: Record<string, unknown> = {}) =>
    whole({
      search: {
        ...plan().search,
        ...small,
        evaluation: { training: long, distillation: { teacher: 'teacher' } },
        ...change,
      },
      teacher: { name: 'teacher', start: 'at-once', network, training: long, workers },
      students: [{ name: 's', network: 'best', training: long, workers, distillation: {} }],
    });
  f.submit(text());
  f.done('run-1');
  for (const id of ['run-2', 'run-3', 'run-4']) f.done(id);
  assert.equal(planOf(f.state, 'plan-1').state, 'done');
  const [first] = runOf(f.state, 'run-1').checkpoints;
  assert.equal(first!.held, 'nothing');
  const foreseen = async (document: CheckedDocument) => {
    const board = createBoard();
    board.follow(f.state, { now: 0, connected: connections(['w1', 'w2', 'w3']) });
    const of = { state: f.state, speedOf: () => undefined, now: () => 0, pools: () => board.pools.all() };
    const { parts } = await forecastOf([document], { ...of, observed: {} });
    return parts.map(({ kind, reused }) => `${kind} ${reused?.likely}`);
  };
  assert.deepEqual(await foreseen(text()), ['teacher 1', 'search 2', 'student 1']);
  assert.equal((await foreseen(text({ strategy: { trials: 3 } })))[0], 'teacher 0', 'trained again');

  f.submit(text());
  const { state, reason } = planOf(f.state, 'plan-2');
  assert.equal(state, 'done', reason);
  assert.deepEqual(f.running(), []);
  // A search by itself that names the run: the same one, and another.
  const { evaluation, ...of } = sweep({ ...small, evaluation: { training: long } });
  const named = (change: Record<string, unknown>) =>
    f.submit(search({ ...of, evaluation: { ...evaluation, distillation: { teacher: 'run-1' } }, ...change }));
  named({});
  assert.equal(sweepOf(f.state, 'sweep-3').state, 'done', sweepOf(f.state, 'sweep-3').reason);
  const gone = /^evaluation\.distillation\.teacher: stages 1, 2 of run-1 are not kept any more/;
  for (const change of [{ strategy: { trials: 3 } }, { reuse: 'none' }])
    assert.throws(() => named(change), { message: gone });

  f.submit(text({ strategy: { trials: 3 } }));
  const last = planOf(f.state, 'plan-3');
  const teacherRun = runOf(f.state, last.teacherRunId!);
  const why = f.events.find((event) => event.kind === 'run.created' && event.runId === teacherRun.id);
  assert.match(
    (why as EventOf<'run.created'>).reason,
    /^teacher of plan-3 once more, for its search: stages 1, 2 of run-1 are not kept/,
  );
  assert.deepEqual([teacherRun.reused, teacherRun.state], [undefined, 'running']);
  assert.equal(sweepOf(f.state, last.sweepId!).teacherRunId, teacherRun.id);
  assert.equal(sweepOf(f.state, last.sweepId!).trialsDone, 2, 'what is known is taken');

  // A text of a teacher and a search: the same is taken, and for another the teacher is trained.
  const texts = (change: object = {}): CheckedDocument[] => [
    run({ network, training: long, workers }),
    search({ ...of, evaluation: { ...evaluation, distillation: { teacher: 'teacher' } }, ...change }),
  ];
  const ofText = (documents: CheckedDocument[]) => {
    const { answer } = f.give({ kind: 'submit', documents });
    assert.ok(answer?.kind === 'submitted');
    return [runOf(f.state, answer.runIds[0]!).state, sweepOf(f.state, answer.sweepIds[0]!).state];
  };
  assert.deepEqual(ofText(texts()), ['done', 'done']);
  f.give({ kind: 'cancel', id: 'plan-3', reason: '' });
  assert.deepEqual(ofText(texts({ strategy: { trials: 4 } })), ['running', 'running']);
});
