import assert from 'node:assert/strict';
import test from 'node:test';
import { comparedEntries } from '../../../../coordinator/cli/commands/replay-run.ts';

const entry = (stage: number, step: number, stateDigest = 'd') => ({
  ...{ sequence: 1, stage, step, digest: '', weightsDigest: '', stateDigest, ledgerDigest: '' },
  ...{ workerId: 'w1', atMs: 0, genotype: '' },
});

test('a replay compares the stages and pauses of its range, in the order of steps and each step once', () => {
  // As the journal has them: a run that was paused at step 2, twice at step 6, and is paused at step 9.
  const entries = [entry(0, 2), entry(1, 4), entry(0, 6), entry(0, 6), entry(2, 8), entry(0, 9)];
  const steps = (from: number, to: number) => comparedEntries(entries, { from, to }).map(({ step }) => step);
  assert.deepEqual(steps(0, 0), [2, 4, 6, 8, 9]);
  assert.deepEqual(steps(0, 1), [2, 4]);
  assert.deepEqual(steps(1, 2), [6, 8]);
  assert.deepEqual(steps(2, 0), [9]);
  assert.deepEqual(steps(0, 7), [], 'the coordinator refuses a stage that is not there');
});
