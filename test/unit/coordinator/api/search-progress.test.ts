import assert from 'node:assert/strict';
import { test } from 'node:test';
import { searchWait } from '../../../../coordinator/api/search-progress.ts';
import { why } from '../../../../coordinator/api/why.ts';
import { sweepOf } from '../../../../coordinator/model/state.ts';
import { systemClock } from '../../../../core/clock.ts';
import { sweep } from '../../../sim/specs.ts';
import { FACTS } from '../../../sim/world.ts';
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
  async function* story() {}
  const waiting = { of: () => undefined, counts: () => new Map() };
  const saidOf = async (id: string) => {
    const request = { id, pageSize: 0, pageToken: '' };
    const parts = { state: fleet.state, waiting, journal: { story }, clock: systemClock };
    return (await why(parts, request)).decisions.map(({ text }) => text);
  };
  assert.deepEqual(await saidOf('sweep-1'), [`sweep-1 ${wait}`]);
  assert.deepEqual(await saidOf('trial-2'), [`sweep-1 ${wait}`]);
  assert.deepEqual(await saidOf('trial-3'), []);
  fleet.finish('run-2');
  assert.equal(searchWait(fleet.state, sweepOf(fleet.state, 'sweep-1')), undefined);
  assert.ok(fleet.running().length > 0);
});
