// What follows from the cause of a failure: for a run, and for the trial that it is an attempt of.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { specOf } from '../../../../coordinator/model/spec-of.ts';
import { runOf, trialOf } from '../../../../coordinator/model/state.ts';
import { sweep } from '../../../sim/specs.ts';
import { FACTS } from '../../../sim/world.ts';
import { core } from './core.ts';

/** A sweep of two attempts a trial on one worker. */
function searching(trials = 2) {
  const fleet = core(1);
  const spec = sweep({ strategy: { trials }, attemptsMax: 2, parallelism: 1 });
  fleet.submit({ kind: 'sweep', spec, facts: FACTS });
  return fleet;
}

test('numbers that are not finite fail the trial at once, with step and tensor in the journal', () => {
  const fleet = searching();
  const { generation, gang } = runOf(fleet.state, 'run-1');
  fleet.give({
    kind: 'reported',
    ...{ workerId: gang[0]!.workerId, incarnation: 'i', sequence: 1 },
    report: {
      ...{ kind: 'failed', runId: 'run-1', generation, cause: 'numeric', step: 6 },
      ...{ message: 'the loss is NaN in step 6', tensor: 'the loss', value: 'NaN' },
    },
  });
  const failed = fleet.events.find(({ kind }) => kind === 'run.failed');
  assert.ok(failed?.kind === 'run.failed');
  assert.deepEqual([failed.step, failed.tensor, failed.value], [6, 'the loss', 'NaN']);
  const trial = trialOf(fleet.state, 'trial-1');
  assert.deepEqual(
    [trial.state, trial.reason, trial.runIds],
    ['failed', 'the loss is NaN in step 6', ['run-1']],
  );
  assert.equal(runOf(fleet.state, 'run-2').trialId, 'trial-2');
});

test('a run that infrastructure failed too often has another attempt of the same seed, and then none', () => {
  const fleet = searching(1);
  const failTenTimes = (id: string) => {
    for (let n = 1; n <= 10; n++) {
      fleet.give({ kind: 'tick' });
      while (runOf(fleet.state, id).state === 'queued') fleet.give({ kind: 'tick' });
      fleet.fail(id, 'infrastructure');
    }
  };
  const seedOf = (id: string) => specOf(fleet.state, runOf(fleet.state, id)).training.seed;
  failTenTimes('run-1');
  assert.equal(seedOf('run-2'), seedOf('run-1'));
  assert.match(runOf(fleet.state, 'run-2').reason, /^attempt 2 of 2, after: bad|free/);
  failTenTimes('run-2');
  const trial = trialOf(fleet.state, 'trial-1');
  assert.deepEqual([trial.state, trial.runIds.length], ['failed', 2]);
  assert.match(trial.reason, /\(attempt 2 of 2\)$/);
});
