// Claims about core/spec/schedule.ts, against counting by hand and against a dumb enumeration of all positions.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  epochOfStep,
  learningRateAt,
  roundEnd,
  roundsBefore,
  scheduleOf,
  stageEndingAt,
  stepsAtStage,
  stepsBeforeRound,
} from '../../../core/spec/schedule.ts';
import { trainingSchema } from '../../../core/spec/training.ts';

const training = (epochs: number, batch: number) => trainingSchema.parse({ epochs, batch, shards: 1 });

test('steps cover every position of every epoch once and stop with the step that completes the last epoch', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 60 }),
      fc.integer({ min: 2, max: 70 }),
      fc.integer({ min: 1, max: 7 }),
      (images, batch, epochs) => {
        const schedule = scheduleOf(training(epochs, batch), images);
        const positions = schedule.stepsTotal * batch;
        assert.ok(positions >= epochs * images, 'every image of every epoch is reached');
        assert.ok(positions - batch < epochs * images, 'the last step is needed');
      },
    ),
  );
});

test('the state after stepsAtStage(k) steps is the first that has seen k whole epochs', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 60 }),
      fc.integer({ min: 2, max: 70 }),
      fc.integer({ min: 1, max: 7 }),
      (images, batch, epochs) => {
        const schedule = scheduleOf(training(epochs, batch), images);
        for (let stage = 1; stage <= epochs; stage++) {
          const steps = stepsAtStage(schedule, stage);
          assert.ok(steps * batch >= stage * images);
          assert.ok((steps - 1) * batch < stage * images);
          assert.ok(stageEndingAt(schedule, steps) >= stage);
        }
        assert.equal(stageEndingAt(schedule, schedule.stepsTotal), epochs);
      },
    ),
  );
});

test('a step inside an epoch ends no stage', () => {
  const schedule = scheduleOf(training(3, 4), 10); // stages end after 3, 5 and 8 steps: ceil(10/4), ceil(20/4), ceil(30/4)
  assert.deepEqual(
    [0, 1, 2, 3, 4, 5, 6, 7, 8].map((steps) => stageEndingAt(schedule, steps)),
    [0, 0, 0, 1, 0, 2, 0, 0, 3],
  );
});

test('rounds follow each other without a gap, have one epoch each, end with every stage and are never longer than asked for', () => {
  fc.assert(
    fc.property(
      fc.record({
        images: fc.integer({ min: 8, max: 60 }),
        batch: fc.integer({ min: 2, max: 8 }),
        epochs: fc.integer({ min: 1, max: 7 }),
        every: fc.integer({ min: 1, max: 40 }),
      }),
      ({ images, batch, epochs, every }) => {
        const sync = { kind: 'outer', every } as const;
        const schedule = scheduleOf(trainingSchema.parse({ epochs, batch, shards: 1, sync }), images);
        const ends: number[] = [];
        for (let step = 0; step < schedule.stepsTotal; step = ends.at(-1)!) {
          assert.equal(roundsBefore(schedule, step), ends.length);
          assert.equal(stepsBeforeRound(schedule, ends.length), step);
          const end = roundEnd(schedule, step);
          assert.ok(end > step && end - step <= every);
          assert.equal(epochOfStep(schedule, end - 1), epochOfStep(schedule, step));
          if (end - step < every)
            assert.ok(stageEndingAt(schedule, end) > 0, 'only a stage cuts a round short');
          ends.push(end);
        }
        assert.equal(ends.at(-1), schedule.stepsTotal);
        assert.equal(roundsBefore(schedule, schedule.stepsTotal), ends.length);
        assert.equal(stepsBeforeRound(schedule, ends.length), schedule.stepsTotal);
        for (let stage = 1; stage <= epochs; stage++) assert.ok(ends.includes(stepsAtStage(schedule, stage)));
      },
    ),
  );
});

test('without outer steps every step is a round', () => {
  const schedule = scheduleOf(training(3, 4), 10);
  for (let step = 0; step < schedule.stepsTotal; step++) {
    assert.equal(roundEnd(schedule, step), step + 1);
    assert.equal(roundsBefore(schedule, step), step);
    assert.equal(stepsBeforeRound(schedule, step), step);
  }
});

test("the reference's recipe: the rate drops at the start of epochs 7, 13, 19 and 24", () => {
  const recipe = trainingSchema.parse({ epochs: 26, batch: 512, optimizer: { milestones: [7, 13, 19, 24] } });
  const rates = [0, 6, 7, 12, 13, 19, 24, 25].map((epoch) => learningRateAt(recipe, epoch));
  const expected = [0.1, 0.1, 0.01, 0.01, 0.001, 1e-4, 1e-5, 1e-5];
  for (const [i, rate] of rates.entries()) assert.ok(Math.abs(rate / expected[i]! - 1) < 1e-12);
  const schedule = scheduleOf(recipe, 5_822_653);
  assert.equal(schedule.stepsTotal, Math.ceil((26 * 5_822_653) / 512));
  assert.equal(epochOfStep(schedule, schedule.stepsTotal - 1), 25);
});
