// How many workers a cluster is to run: when it grows, when it shrinks, and that nothing goes that holds work.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type ScaleMemory,
  type ScaleStep,
  type ScaleView,
  scaleStep,
} from '../../../../coordinator/kubernetes/scaling.ts';

const LIMITS = { min: 1, max: 6, downAfterMs: 10_000 };

type Workers = {
  id: string;
  incarnation: string;
  state: 'attached' | 'draining';
  reason: string;
  runs: number[];
}[];

/** Workers `w-0` and so on; `held`: how many runs each holds. */
const workersOf = (...held: readonly number[]): Workers =>
  held.map((count, place) => ({
    ...{ id: `w-${place}`, incarnation: `process ${place}`, state: 'attached', reason: '' },
    runs: Array.from({ length: count }, (_, run) => run + 1),
  }));

const viewOf = (view: Partial<ScaleView>): ScaleView => ({
  ...{ nowMs: 0, demand: 0, replicas: 3, name: 'w', workers: [] },
  ...view,
});

test('more pods are asked for at once, up to what the open runs can use and no further than the most', () => {
  const step = (demand: number) => scaleStep({}, viewOf({ demand }), LIMITS).step;
  assert.deepEqual(step(3), undefined);
  assert.deepEqual(step(5), {
    kind: 'up',
    replicas: 5,
    reason: 'the open runs can use 5 workers, between 1 and 6',
  });
  assert.equal((step(100) as { replicas: number }).replicas, 6);
});

test('fewer must have been enough for the whole time, and the most that was wanted in it stays', () => {
  let memory: ScaleMemory = {};
  const at = (nowMs: number, demand: number) => {
    const decided = scaleStep(memory, viewOf({ nowMs, demand, replicas: 5 }), LIMITS);
    memory = decided.memory;
    return decided.step;
  };
  assert.equal(at(0, 1), undefined);
  assert.equal(at(6_000, 3), undefined);
  // As many as there are were wanted again: the time begins anew.
  assert.equal(at(8_000, 5), undefined);
  assert.equal(at(9_000, 1), undefined);
  assert.equal(at(12_000, 2), undefined);
  assert.equal(at(18_999, 1), undefined);
  assert.deepEqual(at(19_000, 0), {
    ...{ kind: 'down', replicas: 2 },
    reason: 'the fleet needs fewer workers: the open runs could use 2 at most for 10 s, between 1 and 6',
  });
});

test('workers are drained before their pods go, and go once they hold nothing, whoever leads then', () => {
  const workers = workersOf(1, 0, 1);
  const memory = { low: { sinceMs: 0, wanted: 1 } };
  const { step } = scaleStep(memory, viewOf({ nowMs: 10_000, demand: 1, workers }), LIMITS);
  assert.deepEqual(step?.kind === 'drain' && step.workers, [
    { workerId: 'w-1', incarnation: 'process 1' },
    { workerId: 'w-2', incarnation: 'process 2' },
  ]);
  for (const one of workers.slice(1)) Object.assign(one, { state: 'draining', reason: step!.reason });
  const next = (view: Partial<ScaleView>) =>
    scaleStep({}, viewOf({ workers, demand: 1, ...view }), LIMITS).step;
  assert.equal(next({}), undefined, 'the last one still holds its run');
  workers[2]!.runs.length = 0;
  assert.deepEqual(next({}), { kind: 'down', replicas: 1, reason: 'workers from w-1 on are drained' });
  assert.equal(next({ replicas: 1, demand: 6 })?.kind, 'up');
});

test('workers that drain get work again when they are wanted before their pods are given up', () => {
  const workers = workersOf(1, 0, 1);
  const reason = 'the fleet needs fewer workers: the open runs could use 1 at most';
  for (const one of workers.slice(1)) Object.assign(one, { state: 'draining', reason });
  const next = (demand: number) => scaleStep({}, viewOf({ workers, demand }), LIMITS).step;
  assert.deepEqual(next(2), {
    kind: 'keep',
    workers: [{ workerId: 'w-1', incarnation: 'process 1' }],
    reason: 'the open runs can use 2 workers again, between 1 and 6',
  });
  Object.assign(workers[1]!, { state: 'attached', reason: '' });
  assert.equal(next(2), undefined, 'the third goes on draining');
  const all = next(6);
  assert.deepEqual(all?.kind === 'keep' && all.workers.map(({ workerId }) => workerId), ['w-2']);
  Object.assign(workers[2]!, { state: 'attached', reason: '' });
  assert.equal(next(6)?.kind, 'up');
});

test('a worker that attaches, or starts again, while its pod is to go is drained as well', () => {
  const reason = 'the fleet needs fewer workers: the open runs could use 1 at most';
  const workers = workersOf(1, 0, 1);
  Object.assign(workers[1]!, { state: 'draining', reason });
  const next = () => scaleStep({}, viewOf({ workers, demand: 1 }), LIMITS).step;
  const step = next();
  assert.deepEqual(step?.kind === 'drain' && step.workers, [{ workerId: 'w-2', incarnation: 'process 2' }]);
  Object.assign(workers[2]!, { state: 'draining', reason: step?.reason });
  assert.equal(next(), undefined);
  workers[2]!.runs.length = 0;
  assert.equal(next()?.kind, 'down');
});

test('a pod that leaves for another reason, and workers of other names, are none of its business', () => {
  const workers = workersOf(0, 0, 0);
  Object.assign(workers[2]!, { state: 'draining', reason: 'its pod is being deleted' });
  workers.push(...workersOf(0).map((one) => ({ ...one, id: 'other-7' })));
  assert.equal(scaleStep({}, viewOf({ demand: 3, workers }), LIMITS).step, undefined);
});

test('whatever the demand does, the number stays within its bounds and no pod that holds a run is given up', () => {
  let random = 7;
  const chance = (bound: number) => {
    random = (random * 1_103_515_245 + 12_345) % 2 ** 31;
    return Math.floor((random / 2 ** 31) * bound);
  };
  let memory: ScaleMemory = {};
  let replicas = 3;
  let workers = workersOf(0, 0, 0);
  const steps: ScaleStep['kind'][] = [];
  let idleMs = 0;
  for (let nowMs = 0; nowMs < 4_000_000; nowMs += 1_000) {
    const isBusy = nowMs % 100_000 < 50_000 || nowMs % 24_000 < 12_000;
    const demand = isBusy ? chance(12) : chance(2);
    for (const one of workers) one.runs = one.state === 'draining' && chance(3) === 0 ? [] : one.runs;
    for (const one of workers) if (one.state === 'attached') one.runs = chance(2) === 0 ? [1] : [];
    // Some are started again while they drain, and take runs.
    for (const one of workers)
      if (one.state === 'draining' && chance(20) === 0) Object.assign(one, { state: 'attached', reason: '' });
    const decided = scaleStep(memory, viewOf({ nowMs, demand, replicas, workers }), LIMITS);
    memory = decided.memory;
    const { step } = decided;
    idleMs = step === undefined && workers.some(({ state }) => state === 'draining') ? idleMs + 1_000 : 0;
    assert.ok(idleMs < 100_000, 'a scale-down that was begun ends');
    if (step === undefined) continue;
    steps.push(step.kind);
    if ('workers' in step) {
      const state = step.kind === 'drain' ? 'draining' : 'attached';
      for (const { workerId } of step.workers)
        Object.assign(workers.find(({ id }) => id === workerId)!, { state, reason: step.reason });
      continue;
    }
    assert.ok(step.replicas >= LIMITS.min && step.replicas <= LIMITS.max, step.reason);
    assert.ok(
      workers.slice(step.replicas).every(({ runs }) => runs.length === 0),
      step.reason,
    );
    const kept = workers.slice(0, step.replicas);
    workers = [...kept, ...workersOf(...Array.from({ length: step.replicas }, () => 0)).slice(kept.length)];
    replicas = step.replicas;
  }
  assert.deepEqual(new Set(steps), new Set(['up', 'drain', 'keep', 'down']));
});
