import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isFinished, progressItems } from '../../../core/report/progress-model.ts';
import { evaluation, plan, run, snapshot, sweep } from '../cli/messages.ts';

test('candidates move the bar of their sweep and have none of their own', () => {
  const items = progressItems(
    snapshot({
      sweeps: [sweep({ trialsTotal: 4, trialsDone: 1, bestTrialId: '' })],
      runs: [run({ id: 'c', kind: 'candidate', sweepId: 'sweep-1', step: 50, stepsTotal: 100 })],
    }),
  );
  assert.equal(items.length, 1);
  // One of four done and half of another: 1.5 / 4.
  assert.equal(items[0]?.fraction, 0.375);
});

test('a finished sweep says its best accuracy and how long it took', () => {
  const [item] = progressItems(
    snapshot({ sweeps: [sweep({ state: 'done', trialsDone: 5, trialsFailed: 1, endedAtMs: 1_090_000 })] }),
  );
  assert.equal(item?.note, '6/6 candidates, 1 failed, best 76.5 %, took 1 min 30 s');
  assert.equal(item?.fraction, 1);
});

test('a finished run says its verification, a failed one its reason', () => {
  const items = progressItems(
    snapshot({
      runs: [
        run({ state: 'done', step: 100, endedAtMs: 1_061_000, evaluation: evaluation({ accuracy: 0.8625 }) }),
        run({ id: 'run-2', state: 'failed', reason: 'loss is not finite at step 7' }),
      ],
    }),
  );
  assert.equal(items[0]?.note, '100 steps, verified 86.3 %, took 1 min 01 s');
  assert.equal(items[1]?.note, 'failed: loss is not finite at step 7');
});

test('a run that has not stepped shows no loss and no rate', () => {
  const [item] = progressItems(
    snapshot({ runs: [run({ step: 0, loss: 0, imagesPerSecond: 0, remainingSeconds: 0 })] }),
  );
  assert.equal(item?.note, 'step 0/100, 2 workers');
});

test('work is finished when everything selected has ended, and nothing is not finished work', () => {
  assert.equal(isFinished(snapshot()), false);
  assert.equal(isFinished(snapshot({ plans: [plan({ state: 'done' })], runs: [run()] })), false);
  assert.equal(
    isFinished(snapshot({ plans: [plan({ state: 'done' })], runs: [run({ state: 'failed' })] })),
    true,
  );
});
