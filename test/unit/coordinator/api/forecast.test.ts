// What a forecast says is what runs do: the real core trains the same text, and its runs are counted.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { forecastOf } from '../../../../coordinator/api/forecast.ts';
import type { ForecastContext } from '../../../../coordinator/api/forecast-amounts.ts';
import { forecastText } from '../../../../coordinator/cli/screen/forecast-view.ts';
import type { CheckedDocument } from '../../../../coordinator/decisions/inputs.ts';
import { valuesOf } from '../../../../coordinator/model/persistent-map.ts';
import { initialState, type State } from '../../../../coordinator/model/state.ts';
import { createBoard } from '../../../../coordinator/scheduling/board.ts';
import { rehearse } from '../../../../coordinator/strategies/rehearsal.ts';
import { inspectData } from '../../../../core/data/inspection/inspect.ts';
import { costsOf } from '../../../../core/nn/space.ts';
import { documentSchema } from '../../../../core/spec/document.ts';
import type { RunSpec } from '../../../../core/spec/run.ts';
import { scheduleOf, stepsAtStage } from '../../../../core/spec/schedule.ts';
import type { SweepSpec } from '../../../../core/spec/sweep.ts';
import { readYaml } from '../../../../core/text/yaml-text.ts';
import type { ForecastRange } from '../../../../proto/gen/pocketfleet/v1/fleet.ts';
import { plan, student, sweep, teacher, training } from '../../../sim/specs.ts';
import { FACTS } from '../../../sim/world.ts';
import { connections, wholeRuns } from '../../../support/state.ts';
import { core } from '../decisions/core.ts';

const accuracyOf = (number: number, epochs: number) => 0.3 + ((number * 37) % 101) / 200 + epochs / 100;
const noSpeed = () => undefined;
const forecast = (
  documents: CheckedDocument | readonly CheckedDocument[],
  state: State = initialState,
  speedOf = noSpeed as never,
  observed: ForecastContext['observed'] = {},
) => {
  const board = createBoard();
  board.follow(state, { now: 0, connected: connections(['w1', 'w2']) });
  return forecastOf([documents].flat(), {
    state,
    speedOf,
    now: () => 0,
    pools: () => board.pools.all(),
    observed,
  });
};

/** Runs a text to its end on two workers, and counts what its runs were given to do. */
function trained(document: CheckedDocument, fleet = core(2)) {
  fleet.submit(document);
  const done = new Map<string, { steps: number; images: number; multiplyAdds: number }>();
  for (let left = 500; fleet.running().length > 0; left--) {
    assert.ok(left > 0, 'it goes on for ever');
    for (const id of fleet.running()) {
      const run = wholeRuns(fleet.state).find((one) => one.id === id)!;
      const schedule = scheduleOf(run.job.training, run.facts.trainingImages);
      // A candidate that is evaluated with less halts at the stage of its rung, and may go on later.
      const epochs = run.haltStage ?? schedule.epochs;
      const { batch } = schedule;
      const steps = stepsAtStage(schedule, epochs);
      const images = steps * batch;
      done.set(id, { steps, images, multiplyAdds: images * run.costs.multiplyAdds });
      fleet.finish(id, accuracyOf(run.trialId === undefined ? 0 : Number(run.trialId.slice(6)), epochs));
    }
  }
  const sum = (of: 'steps' | 'images' | 'multiplyAdds') =>
    [...done.values()].reduce((all, one) => all + one[of], 0);
  return { runs: done.size, steps: sum('steps'), images: sum('images'), multiplyAdds: sum('multiplyAdds') };
}

const exact = (range: ForecastRange | undefined) => {
  assert.ok(
    range !== undefined && range.low === range.high && range.likely === range.low,
    JSON.stringify(range),
  );
  return range.likely;
};

test('of a search that learns nothing the forecast is what its runs do, to the last step and multiply-add', async () => {
  for (const strategy of [
    { kind: 'random', trials: 9, seed: 3 },
    { kind: 'grid', trials: 7, axes: { 'normal.0.left': ['dw_conv_3x3', 'skip_connect'] } },
  ]) {
    const document = { kind: 'sweep', facts: FACTS, spec: sweep({ strategy, parallelism: 2 }) } as const;
    const { parts, untimed } = await forecast(document).catch((caught) => assert.fail(caught as Error));
    assert.equal(parts.length, 1);
    const [part] = parts;
    const { runs, steps, images, multiplyAdds } = part!;
    assert.deepEqual(
      { runs: exact(runs), steps: exact(steps), images: exact(images), multiplyAdds: exact(multiplyAdds) },
      trained(document),
    );
    assert.equal(untimed, 'no run of this fleet is done or trains, so no speed was measured');
    assert.deepEqual(part!.times, []);
  }
});

test('a rehearsed search that learns makes the moves of the real one when results are the same', async () => {
  const evaluation = { training: { ...training, epochs: 4 } };
  for (const strategy of [
    { kind: 'asha', trials: 12, eta: 2, lag: 4 },
    { kind: 'hyperband', trials: 12, eta: 2, lag: 4 },
    { kind: 'evolution', trials: 14, population: 6, sample: 3, lag: 4 },
  ]) {
    const spec: SweepSpec = sweep({ strategy, evaluation, parallelism: 2 });
    const { evaluations, share } = await rehearse(spec, { lag: 4, parallelism: 2, accuracyOf, now: () => 0 });
    const sums = { runs: 0, steps: 0, images: 0, multiplyAdds: 0 };
    const upTo = (epochs: number) =>
      scheduleOf({ ...spec.evaluation.training, epochs }, FACTS.trainingImages);
    for (const { before, epochs, costs } of evaluations) {
      const { stepsTotal, batch } = upTo(epochs);
      const steps = stepsTotal - (before === 0 ? 0 : upTo(before).stepsTotal);
      sums.runs += before === 0 ? 1 : 0;
      sums.steps += steps;
      sums.images += steps * batch;
      sums.multiplyAdds += steps * batch * costs.multiplyAdds;
    }
    assert.equal(share, 1);
    assert.deepEqual(sums, trained({ kind: 'sweep', facts: FACTS, spec }), strategy.kind);
  }
});

test('a long search is cut off and stands in proportion, and a space that is used up ends it', async () => {
  const spec = sweep({ strategy: { kind: 'random', trials: 5_000 } });
  let at = 0;
  const cut = await rehearse(spec, { lag: 1, parallelism: 1, accuracyOf, now: () => (at += 1) });
  assert.ok(cut.trials > 0 && cut.trials < 5_000 && cut.share === cut.trials / 5_000, `${cut.trials}`);
  const few = sweep({
    strategy: { kind: 'grid', trials: 50, axes: { 'normal.0.left': ['dw_conv_3x3', 'skip_connect'] } },
  });
  const { parts } = await forecast({ kind: 'sweep', facts: FACTS, spec: few });
  assert.match(parts[0]!.note, /^the space has [12] candidates that can be tried$/);
});

test('a plan has its parts in the order in which they begin, and times from runs that were measured', async () => {
  const spec = plan();
  const document = { kind: 'plan', facts: FACTS, spec, yaml: '' } as const;
  const { parts } = await forecast(document);
  assert.deepEqual(
    parts.map(({ field, begins }) => [field, begins]),
    [
      ['search', 'at once'],
      ['teacher', 'when the search has ended'],
      ['students.0', 'when the search has ended'],
      ['students.1', 'when the search has ended, with the first checkpoint of teacher'],
    ],
  );
  const [search, teacher, plain, distilled] = parts;
  // The winner is one of the candidates: 8 steps of 16 images for each of them, and for a student.
  assert.equal(exact(search!.images), 6 * exact(plain!.images));
  assert.ok(plain!.multiplyAdds!.low <= plain!.multiplyAdds!.likely);
  const ofTeacher = costsOf(spec.teacher!.network).multiplyAdds * exact(distilled!.images);
  assert.equal(distilled!.multiplyAdds!.likely, plain!.multiplyAdds!.likely + ofTeacher);
  const early = await forecast({
    ...document,
    spec: plan({ teacher: { ...spec.teacher, start: 'at-once' } }),
  });
  assert.deepEqual(
    early.parts.slice(0, 2).map(({ field }) => field),
    ['teacher', 'search'],
  );

  // A worker that computes 10 images a second of the teacher: its images take a tenth of a second each.
  const fleet = core(1);
  fleet.submit({ ...document, spec: plan({ search: undefined, students: [], export: undefined }) });
  const speedOf = () => 10;
  const timed = await forecast(document, fleet.state, speedOf as never);
  const { workerSeconds, basis, deviceClass } = timed.parts[1]!.times[0]!;
  assert.deepEqual([exact(workerSeconds), deviceClass], [exact(teacher!.images) / 10, 'cpu']);
  assert.equal(
    basis,
    '1 run of this kind and size, which train now: what runs take beside their steps is not in it',
  );
  const all = timed.parts.reduce((sum, { times }) => sum + times[0]!.workerSeconds!.likely, 0);
  assert.ok(Math.abs(timed.times[0]!.workerSeconds!.likely - all) < 1e-9 * all);
  const text = forecastText(timed);
  assert.match(
    text,
    /^PART +NAME +BEGINS +RUNS +STEPS +IMAGES +MULTIPLY-ADDS\n1 search +search +at once +6 /,
  );
  assert.match(text, /\nin all on cpu: .* of workers$/);
});

test('a fleet of some seconds foresees by what its workers reported and the journal does not have yet', async () => {
  const fleet = core(1);
  const spec = teacher();
  fleet.submit({ kind: 'run', facts: FACTS, spec });
  const id = fleet.running()[0]!;
  fleet.finish(id, 0.8);
  const document = { kind: 'run', facts: FACTS, spec: { ...spec, name: 'next', reuse: 'none' } } as const;
  const before = await forecast(document, fleet.state);
  assert.equal(before.untimed, 'no run of this fleet is done or trains, so no speed was measured');
  const [worker] = [...valuesOf(fleet.state.workers)];
  const entries = [{ runId: id, stage: 1, seconds: { compute: 3, prepare: 1 } }, { seconds: { idle: 4 } }];
  const openTimeOf = (workerId: string, incarnation: string) =>
    workerId === worker!.id && incarnation === worker!.incarnation
      ? { from: 0, until: 8, entries }
      : undefined;
  const { times, untimed } = await forecast(document, fleet.state, undefined, { openTimeOf });
  assert.equal(untimed, '');
  assert.deepEqual(
    times.map(({ workerSeconds }) => exact(workerSeconds)),
    [4],
  );
});

test('of the demo the forecast is what its runs do, the passes of its teacher included', async () => {
  for (const name of ['demo', 'demo-tiny']) {
    const text = readFileSync(new URL(`../../../../examples/${name}.yaml`, import.meta.url), 'utf8');
    const spec = documentSchema.parse(readYaml(text)[0]!.value);
    assert.ok(spec.kind === 'plan');
    const { facts } = await inspectData(spec.data);
    const document = { kind: 'plan', facts, spec, yaml: '' } as const;
    const { parts } = await forecast(document);
    const sum = (of: 'runs' | 'steps' | 'images') => parts.reduce((all, part) => all + exact(part[of]), 0);
    const { runs, steps, images, multiplyAdds } = trained(document);
    assert.deepEqual([sum('runs'), sum('steps'), sum('images')], [runs, steps, images], name);
    const taught = parts.find((part) => part.name === 'student-distilled')!;
    const passes = exact(taught.images) * costsOf(spec.teacher!.network).multiplyAdds;
    // Which candidate wins is not known, nor then how large the students are.
    const all = (of: keyof ForecastRange & ('low' | 'high')) =>
      parts.reduce((total, part) => total + part.multiplyAdds![of], 0);
    const done = multiplyAdds + passes;
    assert.ok(all('low') <= done && done <= all('high'), `${all('low')} ${done} ${all('high')}`);
  }
});

const digested = { ...FACTS, digest: 'd' };
/** Two workers that say which code they are, without which nothing is taken. */
const coded = () => core(2, { code: 'c0de0001' });

test('results that are there are taken in the forecast as in the sweep, whose moves it then makes', async () => {
  const evaluation = { training: { ...training, epochs: 4 } };
  for (const strategy of [
    { kind: 'evolution', trials: 12, population: 4, sample: 2, lag: 4 },
    { kind: 'asha', trials: 9, eta: 2, lag: 4 },
  ]) {
    const fleet = coded();
    const document = (change: object) => ({
      ...({ kind: 'sweep', facts: digested } as const),
      spec: sweep({ evaluation, parallelism: 2, strategy: { ...strategy, ...change } }),
    });
    trained(document({}), fleet);
    const [again] = (await forecast(document({}), fleet.state)).parts;
    assert.match(again!.note, /^the results of (\d+) of \1 evaluations are there, and taken$/);
    assert.equal(exact(again!.steps), 0);
    assert.equal(trained(document({}), fleet).runs, 0, 'and so they are');
    const longer = document({ trials: strategy.trials + 3 });
    const { reused, runs } = (await forecast(longer, fleet.state)).parts[0]!;
    assert.ok(reused!.low >= strategy.trials && runs!.low === strategy.trials + 3, JSON.stringify(reused));
    const fresh = { ...longer, spec: { ...longer.spec, reuse: 'none' as const } };
    assert.equal(exact((await forecast(fresh, fleet.state)).parts[0]!.reused), 0);
  }
});

test('parts of a plan that is submitted again are taken, its winner known, and a new student is not', async () => {
  const fleet = coded();
  const document = { kind: 'plan', facts: digested, spec: plan(), yaml: '' } as const;
  fleet.submit(document);
  for (let left = 50; fleet.running().length > 0; left--) {
    assert.ok(left > 0, 'it goes on for ever');
    for (const id of fleet.running()) {
      for (const stage of [1, 2]) fleet.checkpoint(id, stage);
      fleet.finish(id, accuracyOf(Number(id.slice(4)), 2));
    }
  }
  const reusedIn = async (spec: typeof document.spec) =>
    (await forecast({ ...document, spec }, fleet.state)).parts.map(({ reused }) => exact(reused));
  assert.deepEqual(await reusedIn(plan()), [6, 1, 1, 1]);
  const more = plan({
    students: [
      ...plan().students,
      { ...plan().students[0]!, name: 'wide', training: { ...training, epochs: 3 } },
    ],
  });
  assert.deepEqual(await reusedIn(more), [6, 1, 1, 1, 0]);
  assert.deepEqual(await reusedIn(plan({ reuse: 'none' })), [0, 0, 0, 0]);
  const { parts } = await forecast(document, fleet.state);
  assert.match(parts[1]!.note, /^its result is there, and taken: run-\d+ of plan-1$/);
  assert.match(forecastText({ parts, times: [], untimed: 'x' }), /RUNS +REUSED +STEPS/);
});

test('what learns from a teacher further down the text comes after it, and the rest stays in its order', async () => {
  const of = (spec: RunSpec) => ({ kind: 'run', facts: FACTS, spec }) as const;
  const learnt = sweep({ evaluation: { training, distillation: { teacher: 'b' } } });
  const { parts } = await forecast([
    of(student('b', { name: 'one' })),
    of(teacher({ name: 'a' })),
    { kind: 'sweep', facts: FACTS, spec: learnt },
    of(student('a', { name: 'two' })),
    of(teacher({ name: 'b' })),
    of(student('b', { name: 'three' })),
  ]);
  assert.deepEqual(
    parts.map(({ document }) => document),
    [2, 4, 5, 1, 3, 6],
  );
});

test('a rehearsal screens groups, and begins with the results of another sweep', async () => {
  const options = { lag: 3, parallelism: 2, accuracyOf, now: () => 0 };
  const strategy = { kind: 'random', trials: 4 };
  const all = await rehearse(sweep({ strategy: { ...strategy, trials: 8 } }), options);
  const screened = sweep({ strategy, screening: { score: 'zen', keep: 0.5, of: 4 } });
  const { keys, scored, trials } = await rehearse(screened, options);
  assert.deepEqual([trials, scored], [4, 8]);
  for (const from of [0, 4]) {
    const group = all.keys.slice(from, from + 4);
    const begun = keys.slice(from / 2, from / 2 + 2);
    assert.deepEqual(
      group.filter((key) => begun.includes(key)),
      begun,
      'two of each group, in its order',
    );
  }
  for (const kind of ['asha', 'hyperband', 'evolution']) {
    const more = kind === 'evolution' ? { population: 4, sample: 2 } : { eta: 2 };
    const spec = { ...screened, strategy: sweep({ strategy: { kind, trials: 4, ...more } }).strategy };
    assert.equal((await rehearse(spec, options)).trials, 4, kind);
  }
  const fleet = core(2);
  trained({ kind: 'sweep', facts: FACTS, spec: sweep() }, fleet);
  const warm = { kind: 'tpe', trials: 8, startup: 4, from: 'sweep-1' };
  const [part] = (
    await forecast({ kind: 'sweep', facts: FACTS, spec: sweep({ strategy: warm }) }, fleet.state)
  ).parts;
  assert.match(part!.note, /^begins with 6 results of sweep-1; tpe learns/);
});

test('a run that has its devices to itself says what it keeps from others', async () => {
  const { state } = core(3, { deviceId: 'a' });
  const of = async (spec: RunSpec, at: State) =>
    (await forecast({ kind: 'run', facts: FACTS, spec }, at)).parts[0]!.note;
  const alone = teacher({ require: { device: 'exclusive' }, workers: { min: 1, max: 1 } });
  assert.equal(await of(alone, initialState), 'has its device to itself');
  assert.equal(await of(alone, state), 'has its device to itself, so that 2 other workers of it get nothing');
  assert.equal(await of(teacher(), state), '');
  const busy = core(1, { deviceId: 'a' });
  busy.submit({ kind: 'run', facts: FACTS, spec: teacher() });
  const note = async (speed: number | undefined) => {
    const document = { kind: 'run', facts: FACTS, spec: alone } as const;
    return (await forecast(document, busy.state, (() => speed) as never)).parts[0]!.note;
  };
  const [run] = wholeRuns(busy.state);
  const { stepsTotal, batch } = scheduleOf(run!.job.training, run!.facts.trainingImages);
  assert.equal(
    await note((stepsTotal * batch) / 90),
    'has its device to itself; a device is empty in about 2 min, when the runs there have ended',
  );
  assert.match(await note(undefined), /when a device is empty is not known, since the speed of a run there/);
});

test('the passes of a teacher are among the multiply-adds and in the time of those that learn from it', async () => {
  const learnt = { training, distillation: { teacher: 'old' } };
  const spec = sweep({ evaluation: learnt, parallelism: 1 });
  const old = { kind: 'run', facts: FACTS, spec: teacher({ name: 'old' }) } as const;
  const plain = await forecast([{ kind: 'sweep', facts: FACTS, spec: sweep({ parallelism: 1 }) }]);
  const documents = [old, { kind: 'sweep', facts: FACTS, spec }] as const;
  const { parts } = await forecast(documents);
  const [alone, taught] = [plain.parts[0]!, parts[1]!];
  const pass = costsOf(old.spec.network).multiplyAdds;
  const images = exact(taught.images);
  assert.equal(images, exact(alone.images));
  assert.equal(exact(taught.multiplyAdds), exact(alone.multiplyAdds) + pass * images);
  assert.match(taught.note, /alone in its order: an image costs /);
  // Two at a time share passes: one for both.
  const shared = await forecast([
    old,
    { kind: 'sweep', facts: FACTS, spec: sweep({ evaluation: learnt, parallelism: 2 }) },
  ]);
  assert.equal(exact(shared.parts[1]!.multiplyAdds), exact(alone.multiplyAdds) + (pass * images) / 2);
  // A student of it, as any part.
  const [, own] = (await forecast([old, { kind: 'run', facts: FACTS, spec: student('old') }])).parts;
  const ofStudent = costsOf(student('old').network).multiplyAdds;
  assert.equal(exact(own!.multiplyAdds), (ofStudent + pass) * exact(own!.images));

  // A worker that computes 10 images a second of a network of this size, by which a pass is a third of a step.
  const fleet = core(1);
  fleet.submit(old);
  const times = async (of: CheckedDocument) =>
    (await forecast([old, of], fleet.state, (() => 10) as never)).parts[1]!.times[0]!.workerSeconds!.likely;
  const apart =
    (await times({ kind: 'sweep', facts: FACTS, spec })) -
    (await times({ kind: 'sweep', facts: FACTS, spec: sweep({ parallelism: 1 }) }));
  assert.ok(Math.abs(apart - images / 10 / 3) < 1e-9 * apart, `${apart} s of ${images / 10 / 3}`);
});

test('a search and a student come after the teacher of their text', async () => {
  const taught = sweep({ evaluation: { training, distillation: { teacher: 'old' } } });
  const documents = [
    { kind: 'sweep', facts: FACTS, spec: taught },
    { kind: 'sweep', facts: FACTS, spec: sweep() },
    { kind: 'run', facts: FACTS, spec: student('old') },
    { kind: 'run', facts: FACTS, spec: teacher({ name: 'old' }) },
  ] as const;
  const { parts } = await forecast(documents);
  assert.deepEqual(
    parts.map(({ document, begins }) => [document, begins]),
    [
      [2, 'at once'],
      [4, 'at once'],
      [1, 'with the first checkpoint of old'],
      [3, 'with the first checkpoint of old'],
    ],
  );
});
