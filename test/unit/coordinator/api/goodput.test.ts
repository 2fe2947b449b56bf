// What is shown of the time of a sweep: the work of trials that a strategy stopped stands apart.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { goodput } from '../../../../coordinator/api/goodput.ts';
import { createTimeBoard } from '../../../../coordinator/workers/time-board.ts';
import { EVALUATION as evaluation } from '../../../support/state.ts';
import { createSweepFleet } from '../../../support/sweep-fleet.ts';

test('the work of a trial that was stopped below its full evaluation is pruned, that of one that ended is not', () => {
  const fleet = createSweepFleet(1);
  const { add } = fleet;
  const times = createTimeBoard();
  const view = (id: string) => goodput({ state: fleet.state, times, nowMs: 2_000 }, id);
  fleet.propose();
  fleet.propose(1);
  add({
    ...{ kind: 'trial.attempted', trialId: 'trial-2', runId: 'run-3', attempt: 2, reason: 'a rung' },
    haltStage: 1,
  });
  for (const number of [1, 3]) fleet.assign(number, 'w1');
  const entries = [
    { runId: 'run-1', stage: 1, seconds: { compute: 6, reduce_wait: 1 } },
    { runId: 'run-3', stage: 1, seconds: { compute: 3 } },
    { seconds: { idle: 2 } },
  ];
  add({ kind: 'worker.spent', workerId: 'w1', incarnation: 'i', until: 12, entries });
  // Not journalled yet.
  times.heard('w1', 'i', { from: 12, until: 13, entries: [{ runId: 'run-1', seconds: { data_wait: 1 } }] });
  assert.equal(view('sweep-1').pruned, undefined, 'the trial is open');
  add({
    ...{ kind: 'run.halted', runId: 'run-3', generation: 1, workerId: 'w1', stage: 1, step: 4 },
    ...{ weightsDigest: '00', evaluation },
  });
  const objectives = { accuracy: evaluation.accuracy };
  add({ kind: 'trial.ended', trialId: 'trial-2', state: 'done', reason: 'after 1 of 2 epochs', objectives });
  assert.equal(view('sweep-1').pruned, undefined, 'the trial may go on');
  add({
    kind: 'trial.stopped',
    trialId: 'trial-2',
    cursor: { draws: 2 },
    reason: 'below the cut of its rung',
  });
  fleet.finish(1, 0.5);
  for (const id of ['sweep-1', '']) {
    const { seconds, pruned } = view(id);
    assert.equal(pruned?.compute, 3);
    assert.deepEqual([seconds?.compute, seconds?.dataWait, seconds?.reduceWait], [6, 1, 1]);
    assert.equal(seconds?.idle, id === '' ? 2 : 0);
  }
  assert.equal(view('trial-2').seconds?.compute, 3);
});
