// The plan of the passes of a teacher, by what an image costs each way.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sharingIn, type TextStudent } from '../../../../coordinator/api/shared-passes.ts';
import { planSharing, sharingText } from '../../../../coordinator/scheduling/sharing.ts';
import { student } from '../../../sim/specs.ts';

const of = (count: number, workers: number, teacher = 12.08e9) =>
  planSharing({ teacher, students: new Array(count).fill(0.85e9 / 3), workers });

test('eight students of S-128 and IResNet-100: a pass each, one a worker, one for all', () => {
  const plan = of(8, 4);
  assert.equal(plan.chosen, 'stream');
  assert.deepEqual(plan.passes, { own: 8, worker: 4, stream: 1 });
  assert.ok(Math.abs(plan.costs.own / 1e9 - (8 * 12.08 + 8 * 0.85)) < 1e-9);
  assert.ok(Math.abs(plan.costs.stream / 1e9 - (12.08 + 8 * 0.85)) < 1e-9);
  assert.equal(
    sharingText(plan),
    'an image costs 103.44 GMAC with a pass each, 55.12 GMAC with 4 passes, one a worker, 18.88 GMAC with one for all (a pass is 14.2 steps)',
  );
});

test('one student, one worker, or a pass that costs less than a step: nothing to gain from a stream', () => {
  assert.equal(of(1, 4).chosen, 'worker');
  assert.equal(of(8, 1).chosen, 'worker');
  assert.equal(of(8, 4, 0.8e9).chosen, 'worker');
  assert.equal(sharingText(of(1, 1)), 'an image costs 12.93 GMAC with its own pass (a pass is 14.2 steps)');
});

test('students of a text share by order, and what they ask for is done', () => {
  const { data, training } = student('t');
  const named = (name: string, change: Partial<TextStudent> = {}): TextStudent => ({
    ...{ name, data, training: { ...training, order: 1 }, adds: 1e8, workersMax: 1 },
    ...{ distillation: { schedule: 'multi-step' }, ...change },
  });
  const students = [
    named('a'),
    named('b', { training: { ...training, order: 1, seed: 9 } }),
    named('c', { training: { ...training, order: 2 } }),
    named('d', { distillation: { schedule: 'multi-step', share: 'own' } }),
  ];
  const passes = (attached: number) =>
    [...sharingIn(students, { teacher: 1e9, attached })].map(([name, shared]) => [name, shared.passes]);
  assert.deepEqual(passes(4), [
    ['a', 0.5],
    ['b', 0.5],
    ['c', 1],
    ['d', 1],
  ]);
  assert.deepEqual(passes(0), [
    ['a', 0.5],
    ['b', 0.5],
    ['c', 1],
    ['d', 1],
  ]);
  const kept = students.map((one) => ({
    ...one,
    distillation: { ...one.distillation, share: 'worker' as const },
  }));
  const [first] = sharingIn(kept, { teacher: 1e9, attached: 2 }).values();
  assert.equal(first!.passes, 2 / 3);
  assert.match(first!.note, /^3 students of one order share passes \(worker\): an image costs /);
});
