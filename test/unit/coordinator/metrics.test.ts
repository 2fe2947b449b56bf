import assert from 'node:assert/strict';
import test from 'node:test';
import { workersDesired } from '../../../coordinator/metrics.ts';
import { openRuns } from '../../../coordinator/model/state.ts';
import { createSweepFleet } from '../../support/sweep-fleet.ts';

test('the workers that open runs could use are counted as runs come and end', () => {
  const fleet = createSweepFleet(1);
  const desired = workersDesired();
  const open: number[] = [];
  for (let n = 0; n < 200; n++) {
    if (n % 3 === 2) fleet.finish(open.splice(n % open.length, 1)[0]!, 0.5);
    else open.push(fleet.propose());
    if (n % 7 !== 0) continue;
    const { state } = fleet;
    const sum = openRuns(state).reduce((all, run) => all + run.job.workers.max, 0);
    assert.ok(sum > 0);
    assert.equal(desired(state), sum);
    assert.equal(desired(state), sum);
  }
});
