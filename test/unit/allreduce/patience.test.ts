// When one member suspects another: limits that follow from observed steps and answers, under a virtual clock.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createHabitStore, createMemberWatch, type Suspect } from '../../../core/allreduce/member-watch.ts';
import {
  type Habits,
  NO_HABITS,
  suspicionOf,
  withAnswer,
  withStep,
} from '../../../core/allreduce/patience.ts';

const steps = (...ms: number[]): Habits => ms.reduce(withStep, NO_HABITS);
const working = { silentMs: 0, asked: 0 };

test('a member that answers is idle ten times the slowest recent step after its part was due, whatever a step takes', () => {
  for (const slowest of [20, 900, 60_000]) {
    const habits = steps(slowest / 2, slowest, slowest / 3);
    assert.equal(suspicionOf({ ...working, part: { ms: 10 * slowest, asked: 5 } }, habits), undefined);
    assert.deepEqual(suspicionOf({ ...working, part: { ms: 10 * slowest + 1, asked: 5 } }, habits), {
      kind: 'idle',
      ms: 10 * slowest + 1,
      limitMs: 10 * slowest,
    });
  }
});

test('nobody is idle before three steps were seen, before it was asked five times, nor when its part is here', () => {
  assert.equal(suspicionOf({ ...working, part: { ms: 1e9, asked: 5 } }, steps(10, 10)), undefined);
  assert.equal(suspicionOf({ ...working, part: { ms: 1e9, asked: 5 } }, steps(10, 10, 10))?.kind, 'idle');
  assert.equal(suspicionOf({ ...working, part: undefined }, steps(10, 10, 10)), undefined);
  assert.equal(suspicionOf({ ...working, part: { ms: 1e9, asked: 4 } }, steps(10, 10, 10)), undefined);
});

test('a slow step is remembered for thirty-two steps and then forgotten', () => {
  let habits = steps(5_000, ...new Array<number>(31).fill(10));
  assert.equal(suspicionOf({ ...working, part: { ms: 40_000, asked: 5 } }, habits), undefined);
  habits = withStep(habits, 10);
  assert.equal(suspicionOf({ ...working, part: { ms: 40_000, asked: 5 } }, habits)?.limitMs, 100);
});

test('who was asked five times and says nothing for eight times the slowest recent answer is silent', () => {
  const habits = withAnswer(withAnswer(NO_HABITS, 300), 50);
  const wait = { part: undefined, silentMs: 2_400, asked: 5 };
  assert.equal(suspicionOf(wait, habits), undefined);
  assert.deepEqual(suspicionOf({ ...wait, silentMs: 2_401 }, habits), {
    kind: 'silent',
    ms: 2_401,
    limitMs: 2_400,
  });
  assert.equal(suspicionOf({ ...wait, silentMs: 1e9, asked: 4 }, habits), undefined);
  assert.equal(
    suspicionOf({ ...wait, silentMs: 1_000 }, NO_HABITS)?.kind,
    'silent',
    'never slow: the asking is the limit',
  );
});

/** Rank 0 of three, asking whom it waits for every 500 virtual milliseconds. */
function watchOfThree() {
  let now = 0;
  const told: (readonly Suspect[])[] = [];
  const store = createHabitStore();
  const watch = createMemberWatch({
    ranks: 3,
    rank: 0,
    store,
    now: () => now,
    onChange: (suspects) => told.push(suspects),
  });
  const pass = (ms: number, waitsFor: readonly number[], answers: readonly number[]) => {
    for (const end = now + ms; now < end; now += 25) {
      if (now % 500 === 0) for (const rank of waitsFor) watch.noteQuestion(rank);
      if (now % 500 === 25) for (const rank of answers) watch.noteMessage(rank);
      watch.judge((rank) =>
        waitsFor.includes(rank) ? { ms: now, asked: Math.floor(now / 500) + 1 } : undefined,
      );
    }
  };
  return { watch, store, told, pass };
}

test('one that falls silent is told once, and taken back with its first word', () => {
  const { watch, told, pass } = watchOfThree();
  pass(10_000, [1, 2], [1]);
  assert.deepEqual(
    told.map((suspects) => suspects.map(({ rank, kind }) => [rank, kind])),
    [[[2, 'silent']]],
  );
  assert.ok(told[0]![0]!.ms <= 2_500, 'found with the fifth question');
  watch.noteMessage(2);
  watch.judge(() => undefined);
  assert.deepEqual(told.at(-1), []);
});

test('answers that were late raise the limit of silence', () => {
  const { store, told, pass } = watchOfThree();
  store.habits = withAnswer(store.habits, 1_000);
  pass(7_900, [2], []);
  assert.equal(told.length, 0);
  pass(500, [2], []);
  assert.deepEqual(
    told.map((suspects) => suspects.map(({ rank }) => rank)),
    [[2]],
  );
});

test('who answers and never contributes is told as idle, and nobody while the broker is away', () => {
  const { watch, store, told, pass } = watchOfThree();
  for (let i = 0; i < 3; i++) watch.noteStep(100);
  pass(2_000, [1], [1]);
  assert.equal(told.length, 0, 'asked four times');
  pass(500, [1], [1]);
  assert.deepEqual(
    told.map((suspects) => suspects.map(({ kind, limitMs }) => [kind, limitMs])),
    [[['idle', 1_000]]],
  );
  watch.clearQuestions();
  assert.deepEqual(told.at(-1), []);
  assert.equal(store.habits.stepMs.length, 3);
});

test('how long a member took to come is no answer', () => {
  const { watch, store, pass } = watchOfThree();
  pass(1_000, [1], []);
  watch.noteMessage(1);
  assert.deepEqual(store.habits.answerMs, []);
  watch.noteQuestion(1);
  watch.noteMessage(1);
  assert.deepEqual(store.habits.answerMs, [0]);
});
