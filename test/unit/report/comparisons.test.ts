import assert from 'node:assert/strict';
import { test } from 'node:test';
import { comparisonsOf, gateSentences, sentenceOf } from '../../../core/report/comparisons.ts';
import type { EvaluationReport } from '../../../proto/gen/pocketfleet/v1/fleet.ts';
import { evaluation, run } from '../cli/messages.ts';

const PEOPLE = 40;
const PAIRS = 800;

/** A report whose network judges the first `right` of every hundred pairs rightly. */
function report(right: number, people = PEOPLE): EvaluationReport {
  const bits = Buffer.alloc(PAIRS / 8);
  for (let i = 0; i < PAIRS; i++) if ((i * 37) % 100 < right) bits[i >> 3]! |= 1 << (i & 7);
  const personA = Array.from({ length: PAIRS }, (_, i) => i % people);
  const personB = personA.map((p, i) => (i % 2 === 0 ? p : (p + 7) % people));
  return {
    evaluation: evaluation({ accuracy: right / 100 }),
    rocFpr: [],
    rocTpr: [],
    examples: [],
    judged: { personA, personB, right: bits },
  };
}

const named = (id: string, kind: string, accuracy: number, teacherRunId = '') =>
  run({ id, name: id, kind, teacherRunId, evaluation: evaluation({ accuracy }) });

test('the exported student is compared with the others, and the teacher with those that learnt from it', () => {
  const runs = [
    named('teacher', 'teacher', 0.9),
    named('distilled', 'student', 0.8, 'teacher'),
    named('alone', 'student', 0.7),
    named('unverified', 'student', Number.NaN),
  ];
  const evaluations = new Map([
    ['teacher', report(90)],
    ['distilled', report(80)],
    ['alone', report(70)],
  ]);
  const found = comparisonsOf(runs, evaluations, 'distilled');
  assert.deepEqual(
    found.map(({ first, second }) => [first.id, second.id]),
    [
      ['distilled', 'alone'],
      ['teacher', 'distilled'],
      ['teacher', 'alone'],
    ],
  );
  const [, , aboveAlone] = found;
  assert.match(aboveAlone!.sentence, /^teacher is better than alone: \+20\.0 points/);
  assert.deepEqual(gateSentences(found), [
    'the gate of 3 points is passed: teacher is 20.0 points above alone, so that the differences of its students may be read',
  ]);
  for (const { found: difference, sentence } of found.slice(0, 2)) {
    assert.ok(Math.abs(difference!.difference - 0.1) < 1e-9);
    assert.match(
      sentence,
      /is better than .*: \+10\.0 points \(95 % interval \+\S+ to \+\S+; 800 pairs of 40 people\)/,
    );
  }
});

test('the students of a teacher that is not three points above one without a teacher are void', () => {
  const runs = [
    named('teacher', 'teacher', 0.72),
    named('distilled', 'student', 0.8, 'teacher'),
    named('alone', 'student', 0.7),
  ];
  const evaluations = new Map([
    ['teacher', report(72)],
    ['distilled', report(80)],
    ['alone', report(70)],
  ]);
  assert.deepEqual(gateSentences(comparisonsOf(runs, evaluations, 'distilled')), [
    'the gate of 3 points is not passed: teacher is 2.0 points above alone, so that the differences of its students are void',
  ]);
  assert.deepEqual(gateSentences(comparisonsOf(runs.slice(0, 2), evaluations, 'distilled')), []);
});

test('without an exported network the most accurate student is compared with the others', () => {
  const runs = [named('a', 'student', 0.7), named('b', 'student', 0.8)];
  const evaluations = new Map([
    ['a', report(70)],
    ['b', report(80)],
  ]);
  assert.deepEqual(
    comparisonsOf(runs, evaluations, '').map(({ first, second }) => [first.id, second.id]),
    [['b', 'a']],
  );
});

test('no verdict is given where zero lies in the interval, also not for the more accurate one', () => {
  const within = { difference: 0.012, low: -0.009, high: 0.033, pairs: 3000, people: 60 };
  assert.equal(
    sentenceOf('a', 'b', within),
    'a and b are too close to tell apart: +1.2 points (95 % interval -0.9 to +3.3; 3,000 pairs of 60 people)',
  );
  const below = { ...within, difference: -0.03, low: -0.05, high: -0.01 };
  assert.match(sentenceOf('a', 'b', below), /^a is worse than b: -3\.0 points/);
});

test('networks that were verified on different people, or on too few, are not compared and the reason is given', () => {
  const runs = [named('a', 'student', 0.7), named('b', 'student', 0.8)];
  const other = new Map([
    ['a', report(70, 30)],
    ['b', report(80)],
  ]);
  assert.match(comparisonsOf(runs, other, 'a')[0]!.sentence, /cannot be compared: .* different pairs/);
  const few = new Map([
    ['a', report(70, 4)],
    ['b', report(80, 4)],
  ]);
  assert.match(comparisonsOf(runs, few, 'a')[0]!.sentence, /cannot be compared: 4 people are too few/);
});

test('a report without judgements, or with a damaged list of them, takes part in no comparison', () => {
  const runs = [named('a', 'student', 0.7), named('b', 'student', 0.8)];
  const whole = report(80);
  for (const judged of [
    undefined,
    { personA: [], personB: [], right: Buffer.alloc(0) },
    { ...whole.judged!, personB: [1] },
    { ...whole.judged!, right: Buffer.alloc(3) },
  ]) {
    const evaluations = new Map([
      ['a', { ...whole, judged }],
      ['b', whole],
    ]);
    assert.deepEqual(comparisonsOf(runs, evaluations, 'a'), []);
  }
});
