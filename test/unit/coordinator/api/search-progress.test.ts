import assert from 'node:assert/strict';
import { test } from 'node:test';
import { searchWait } from '../../../../coordinator/api/search-progress.ts';
import { sweepOf } from '../../../../coordinator/model/state.ts';
import { sweep } from '../../../sim/specs.ts';
import { FACTS } from '../../../sim/world.ts';
import { connections } from '../../../support/state.ts';
import { whyTexts } from '../../../support/why.ts';
import { core } from '../decisions/core.ts';

test('a trial that holds its search back is named, by the sweep and by why of both, until it has a result', async () => {
  const fleet = core(3);
  const strategy = { kind: 'tpe', trials: 12, startup: 2, lag: 6 };
  fleet.submit({ kind: 'sweep', spec: sweep({ strategy, parallelism: 3 }), facts: FACTS });
  // All but run-2 finish, as long as there are any.
  for (let left = 20; fleet.running().length > 1; left--) {
    assert.ok(left > 0, 'nothing holds the search back');
    if (fleet.running().length === 3)
      assert.equal(searchWait(fleet.state, sweepOf(fleet.state, 'sweep-1')), undefined);
    fleet.finish(fleet.running().find((id) => id !== 'run-2')!);
  }
  const wait = searchWait(fleet.state, sweepOf(fleet.state, 'sweep-1'));
  assert.equal(
    wait,
    'waits for trial-2 (move 2), 5 results behind it: move 8 sees the results of moves up to 2',
  );
  const observed = { now: 1, connected: connections() };
  const saidOf = (id: string) => whyTexts({ state: fleet.state, observed }, { id });
  assert.deepEqual(await saidOf('sweep-1'), [`now: sweep-1 ${wait}`]);
  assert.deepEqual(await saidOf('trial-2'), [`now: sweep-1 ${wait}`]);
  assert.deepEqual(await saidOf('trial-3'), []);
  fleet.finish('run-2');
  assert.equal(searchWait(fleet.state, sweepOf(fleet.state, 'sweep-1')), undefined);
  assert.ok(fleet.running().length > 0);
});
