// Budgets in the core: what is counted, what ends when it is spent, and what is refused.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeState } from '../../../../coordinator/model/snapshot.ts';
import { decodeState } from '../../../../coordinator/model/snapshot-decoder.ts';
import { runOf, sweepOf, trialOf } from '../../../../coordinator/model/state.ts';
import { runBudget, sweepBudget } from '../../../../core/spec/budget.ts';
import { sweep, teacher } from '../../../sim/specs.ts';
import { handFleet } from '../../../support/hand-fleet.ts';

const TWO = { min: 2, max: 2 };

test('a run has the worker-seconds of its budget, those of all its workers, and not those of its waits', () => {
  const fleet = handFleet({}, {});
  const id = fleet.submit(teacher({ workers: TWO, budget: { workerSeconds: 20 } }));
  fleet.pass(4_000);
  fleet.crash('w2', 0);
  fleet.give({ kind: 'pause', id, reason: '' });
  fleet.report('w1', { kind: 'paused', runId: id, generation: fleet.run(id).generation, step: 0 });
  fleet.pass(100_000);
  assert.equal(fleet.run(id).state, 'paused');
  fleet.give({ kind: 'resume', id, reason: '' });
  fleet.pass(5_000);
  assert.equal(fleet.run(id).state, 'running');
  fleet.pass(1_500);
  const { state, reason, failureCause, gang } = fleet.run(id);
  assert.deepEqual([state, failureCause, gang.length], ['failed', 'budget', 0]);
  assert.match(reason, /^budget of 20 worker-seconds spent \(2\d\)$/);
  fleet.give({ kind: 'resume', id, reason: '' });
  fleet.pass(5_000);
  assert.equal(fleet.run(id).state, 'running', 'who resumes it gives it its budget again');
});

test('wall time goes on through waits', () => {
  const fleet = handFleet({});
  const id = fleet.submit(teacher({ budget: { wallSeconds: 3_600 } }));
  fleet.give({ kind: 'lost', cause: 'silent', workerId: 'w1', incarnation: 'i', reason: 'test' });
  fleet.pass(3_599_000);
  assert.equal(fleet.run(id).state, 'queued');
  fleet.pass(1_000);
  assert.match(fleet.run(id).reason, /^budget of 3,600 seconds of wall time spent \(3,600\)$/);
});

const finish = (fleet: ReturnType<typeof handFleet>, id: string) => {
  const { gang, generation } = runOf(fleet.state(), id);
  const evaluation = { accuracy: 0.5, accuracyStd: 0, auc: 0, eer: 0, tarAtFar: 0, pairs: 20 };
  fleet.report(gang[0]!.workerId, {
    ...{ kind: 'finished', runId: id, generation, step: 8, weightsDigest: 'w', evaluation },
  });
};

test('a sweep that has spent its budget is done with the best that it has, and its open trials are cancelled', () => {
  const fleet = handFleet({}, {});
  const budget = { workerSeconds: 30 };
  const id = fleet.submit(sweep({ strategy: { trials: 9 }, parallelism: 2, budget }));
  fleet.pass(5_000);
  finish(fleet, 'run-1');
  fleet.pass(9_000);
  const { spent } = sweepOf(fleet.state(), id);
  assert.equal(spent?.workers, 2);
  assert.deepEqual(sweepOf(decodeState(encodeState(fleet.state())), id).spent, spent);
  fleet.pass(2_000);
  const { state, reason } = sweepOf(fleet.state(), id);
  assert.equal(state, 'done');
  assert.match(reason, /^budget of 30 worker-seconds spent \(3\d\) after 1 trial; the best is trial-1$/);
  assert.equal(trialOf(fleet.state(), 'trial-3').state, 'cancelled');
  assert.deepEqual([fleet.held('w1'), fleet.held('w2')], [[], []]);
});

test('a trial that has spent its budget fails alone, and attempts of a sweep are counted', () => {
  const fleet = handFleet({});
  const budget = { attempts: 2, trial: { workerSeconds: 10 } };
  const id = fleet.submit(sweep({ strategy: { trials: 9 }, parallelism: 1, budget }));
  fleet.pass(11_000);
  assert.match(
    trialOf(fleet.state(), 'trial-1').reason,
    /^budget of 10 worker-seconds spent \(11\), which is what each trial has$/,
  );
  finish(fleet, 'run-2');
  const { state, reason, trialsProposed } = sweepOf(fleet.state(), id);
  assert.deepEqual([state, trialsProposed], ['done', 2]);
  assert.match(reason, /^budget of 2 attempts spent: 1 of 9 trials done, best trial-2 with 0\.5000$/);
});

test('a budget of nothing is refused with what to do', () => {
  const refusal = (schema: typeof runBudget | typeof sweepBudget, value: unknown) =>
    schema.safeParse(value).error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
  assert.deepEqual(refusal(runBudget, { workerSeconds: 0 }), [
    'workerSeconds: a budget is above 0; leave it out for none',
  ]);
  assert.deepEqual(refusal(sweepBudget, { attempts: 0, trial: { wallSeconds: -1 } }), [
    'attempts: a sweep needs 1 attempt at least; leave it out for any number',
    'trial.wallSeconds: a budget is above 0; leave it out for none',
  ]);
  assert.match(refusal(runBudget, { attempts: 3 })![0]!, /Unrecognized key/);
});
