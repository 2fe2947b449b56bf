// What of a run's checkpoints stays stored.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type Drop,
  dropsOf,
  firstNeeded,
  type HeldStage,
  type RetentionFacts,
  type StudentOf,
} from '../../../../coordinator/decisions/retention.ts';

const stagesTo = (newest: number): HeldStage[] =>
  Array.from({ length: newest }, (_, i) => ({ stage: i + 1, held: 'all', kept: undefined }));
const factsOf = (changed: Partial<RetentionFacts>): RetentionFacts => ({
  kind: 'teacher',
  policy: undefined,
  epochs: 6,
  isDone: false,
  stages: stagesTo(4),
  students: [],
  moreStudents: false,
  candidate: { isReplaced: false, hasResult: false, isBest: false, hasFront: false },
  ...changed,
});
const student = (changed: Partial<StudentOf>): StudentOf => ({
  id: 'run-2',
  isDone: false,
  newest: 0,
  schedule: 'multi-step',
  epochs: 6,
  ...changed,
});
const told = (facts: RetentionFacts) =>
  dropsOf(facts).map(({ stages, parts, reason }) => `${stages.join(',')} ${parts}: ${reason}`);

test('a teacher without students keeps every network, and optimiser and head of its last two stages', () => {
  assert.deepEqual(told(factsOf({})), [
    '1,2 state: only the last two stages keep their optimiser state and head',
  ]);
  assert.deepEqual(told(factsOf({ stages: stagesTo(2) })), []);
});

test('a network stays until every student has passed it, those that may be resumed included', () => {
  const done = student({ id: 'run-3', isDone: true, newest: 6 });
  const at = (newest: number, more: Partial<RetentionFacts> = {}) =>
    told(factsOf({ students: [student({ newest }), done], ...more }));
  const last = 'state: only the last two stages keep their optimiser state and head';
  const passed = 'all: every student has passed it (run-2, run-3)';
  assert.deepEqual(at(0), [`1,2 ${last}`]);
  assert.deepEqual(at(1), [`1 ${passed}`, `2 ${last}`]);
  assert.deepEqual(at(5), [`1,2 ${passed}`]);
  // A plan has a student that is not created yet.
  assert.deepEqual(at(5, { moreStudents: true }), [`1,2 ${last}`]);
});

test('a student of the last stage alone needs no other', () => {
  assert.equal(firstNeeded(student({ schedule: 'single-step' }), 6), 6);
  assert.equal(firstNeeded(student({ newest: 3 }), 6), 4);
  assert.equal(firstNeeded(student({ newest: 5, epochs: 9 }), 6), 6);
  assert.equal(firstNeeded(student({ newest: 6 }), 6), undefined);
});

test('a candidate keeps its newest stage, and nothing once it has a result, unless that is the best', () => {
  const candidate = (changed: Partial<RetentionFacts['candidate']>) =>
    told(
      factsOf({
        kind: 'candidate',
        stages: stagesTo(3),
        candidate: { isReplaced: false, hasResult: false, isBest: false, hasFront: false, ...changed },
      }),
    );
  const older = '1,2 all: a candidate keeps its newest stage alone';
  assert.deepEqual(candidate({}), [older]);
  assert.deepEqual(candidate({ hasResult: true, isBest: true }), [older]);
  assert.deepEqual(candidate({ hasResult: true }), [
    '1,2,3 all: its result is known, and it is not the best of its sweep',
  ]);
  assert.deepEqual(candidate({ hasResult: true, hasFront: true }), [
    '1,2,3 all: its result is known, and it is not on the front of its sweep',
  ]);
  assert.deepEqual(candidate({ isReplaced: true }), ['1,2,3 all: another attempt has taken its place']);
});

test('a policy of the run holds beside what students need and what somebody asked to keep', () => {
  assert.deepEqual(told(factsOf({ policy: 'all' })), []);
  assert.deepEqual(told(factsOf({ policy: 'last' })), [
    '1,2,3 all: checkpoints.keep: last keeps the newest stage alone',
  ]);
  assert.deepEqual(told(factsOf({ policy: 'last', students: [student({ newest: 1 })] })), [
    '1 all: checkpoints.keep: last keeps the newest stage alone',
    '2,3 state: checkpoints.keep: last keeps the newest stage alone',
  ]);
  assert.deepEqual(told(factsOf({ policy: { every: 2 }, stages: stagesTo(6) })), [
    '1,3 all: a run keeps its last two stages',
  ]);
  const kept = stagesTo(4).map((one) => (one.stage === 1 ? { ...one, kept: 'by request' } : one));
  assert.deepEqual(told(factsOf({ kind: 'student', stages: kept })), [
    '2 all: a run keeps its last two stages',
  ]);
});

/** A teacher, its students, and what is stored of it, through whatever happens to them. */
interface World {
  stages: HeldStage[];
  students: StudentOf[];
}

const happening = fc.oneof(
  fc.constant({ kind: 'stage' as const }),
  fc.record({
    kind: fc.constant('submit' as const),
    single: fc.boolean(),
    epochs: fc.integer({ min: 1, max: 8 }),
  }),
  fc.record({ kind: fc.constant('student' as const), which: fc.nat(4) }),
  fc.record({ kind: fc.constant('keep' as const), which: fc.nat(4) }),
  // A decision; one that is cut off before it takes effect happens again.
  fc.record({ kind: fc.constant('decide' as const), takesEffect: fc.boolean() }),
);
const policies = fc.constantFrom(undefined, 'all' as const, 'last' as const, { every: 2 }, { every: 3 });

function applyDrops(world: World, drops: readonly Drop[]): void {
  for (const { stages, parts } of drops)
    world.stages = world.stages.flatMap((one) => {
      if (!stages.includes(one.stage)) return [one];
      return parts === 'state' ? [{ ...one, held: 'network' as const }] : [];
    });
}

test('no sequence of runs, kills and collections takes what an open run may read, and what stays is bounded by the policy', () => {
  const epochs = 6;
  fc.assert(
    fc.property(policies, fc.array(happening, { maxLength: 60 }), (policy, happenings) => {
      const world: World = { stages: [], students: [] };
      let newest = 0;
      const facts = () =>
        factsOf({
          policy,
          epochs,
          stages: world.stages,
          students: world.students,
          isDone: newest === epochs,
        });
      const holds = (stage: number) => world.stages.find((one) => one.stage === stage);
      for (const what of happenings) {
        if (what.kind === 'stage' && newest < epochs) {
          newest += 1;
          world.stages.push({ stage: newest, held: 'all', kept: undefined });
        }
        if (what.kind === 'submit') {
          const made = student({
            id: `run-${world.students.length + 2}`,
            schedule: what.single ? 'single-step' : 'multi-step',
            epochs: what.epochs,
          });
          // A student whose stages are gone already is refused when it is submitted.
          const first = firstNeeded(made, epochs)!;
          if (Array.from({ length: newest }, (_, i) => i + 1).every((s) => s < first || holds(s)))
            world.students.push(made);
        }
        const one = what.kind === 'student' ? world.students[what.which] : undefined;
        if (one !== undefined && !one.isDone) {
          const needs = firstNeeded(one, epochs)!;
          // It trains a stage as soon as the teacher's is there, and it must be there once it was stored.
          if (needs <= newest) {
            assert.ok(holds(needs) !== undefined, `${one.id} finds stage ${needs}`);
            const next = one.newest + 1;
            world.students = world.students.map((s) =>
              s === one ? { ...s, newest: next, isDone: next >= s.epochs } : s,
            );
          }
        }
        if (what.kind === 'keep') {
          const at = world.stages[what.which];
          if (at !== undefined)
            world.stages = world.stages.map((s) => (s === at ? { ...s, kept: 'by request' } : s));
        }
        if (what.kind === 'decide' && what.takesEffect) {
          applyDrops(world, dropsOf(facts()));
          assert.deepEqual(dropsOf(facts()), [], 'a second look finds nothing more');
          if (newest > 0) assert.equal(holds(newest)?.held, 'all', 'the run itself can go on');
          const whole = world.stages.filter((s) => s.held === 'all' && s.kept === undefined).length;
          const every = typeof policy === 'object' ? Math.floor(newest / policy.every) : 0;
          const wholeMax = policy === 'all' ? newest : policy === 'last' ? 1 : 2 + every;
          assert.ok(whole <= wholeMax, `${whole} whole stages under ${JSON.stringify(policy)}`);
          const needed = world.students.flatMap((s) => firstNeeded(s, epochs) ?? []);
          const networks = world.stages.filter((s) => s.held === 'network' && s.kept === undefined);
          const first = policy === undefined && world.students.length === 0 ? 1 : Math.min(...needed);
          assert.ok(
            networks.every(({ stage }) => stage >= first),
            'no network that nobody needs',
          );
        }
      }
    }),
    { numRuns: 300 },
  );
});
