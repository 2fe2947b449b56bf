import assert from 'node:assert/strict';
import { test } from 'node:test';
import { searchWait } from '../../../../coordinator/api/search-progress.ts';
import { sweepOf } from '../../../../coordinator/model/state.ts';
import { sweep, training } from '../../../sim/specs.ts';
import { FACTS } from '../../../sim/world.ts';
import { connections } from '../../../support/state.ts';
import { whyTexts } from '../../../support/why.ts';
import { core } from '../decisions/core.ts';

const waitOf = ({ state }: Pick<ReturnType<typeof core>, 'state'>) =>
  searchWait(state, sweepOf(state, 'sweep-1'))?.text;

test('a trial that holds its search back is named, by the sweep and by why of both, until it has a result', async () => {
  const fleet = core(3);
  const strategy = { kind: 'tpe', trials: 12, startup: 2, lag: 6 };
  fleet.submit({ kind: 'sweep', spec: sweep({ strategy, parallelism: 3 }), facts: FACTS });
  // All but run-2 finish, as long as there are any.
  for (let left = 20; fleet.running().length > 1; left--) {
    assert.ok(left > 0, 'nothing holds the search back');
    if (fleet.running().length === 3) assert.equal(waitOf(fleet), undefined);
    fleet.finish(fleet.running().find((id) => id !== 'run-2')!);
  }
  const wait = waitOf(fleet);
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
  assert.equal(waitOf(fleet), undefined);
  assert.ok(fleet.running().length > 0);
});

test('a search that waits for a rung says which one, with its numbers and the trials, until its results are there', async () => {
  const evaluation = { training: { ...training, epochs: 4 } };
  const waits = {
    hyperband:
      'waits: bracket 1 has 2 of 4 results at 1 epochs, of which the best 2 go on: trials 3 and 4 have none yet; the next result in order is that of trial 3 (move 3)',
    asha: 'waits: no rung lets a trial go on before another result, of trials 3, 4 and 2 (the best 1/2 of a rung go on); the next result in order is that of trial 3 (move 3)',
  };
  for (const [kind, wait] of Object.entries(waits)) {
    const fleet = core(6);
    const strategy = { kind, trials: 4, eta: 2, lag: 8 };
    fleet.submit({ kind: 'sweep', spec: sweep({ strategy, evaluation, parallelism: 6 }), facts: FACTS });
    assert.equal(fleet.running().length, 4);
    fleet.finish('run-1', 0.5);
    fleet.finish('run-2', 0.6);
    assert.equal(waitOf(fleet), wait);
    const observed = { now: 1, connected: connections() };
    const now = `now: sweep-1 ${wait}`;
    for (const id of ['sweep-1', 'trial-3'])
      assert.deepEqual((await whyTexts({ state: fleet.state, observed }, { id })).slice(0, 1), [now], id);
    assert.deepEqual(await whyTexts({ state: fleet.state, observed }, { id: 'trial-4' }), []);
    fleet.finish('run-3', 0.7);
    fleet.finish('run-4', 0.8);
    assert.ok(fleet.running().length > 0, 'the rung is complete, and the best of it go on');
  }
});

test('a group whose candidates have no scores yet is the reason of its sweep', async () => {
  const fleet = core(1);
  const screening = { score: 'synflow', of: 4 };
  fleet.submit({ kind: 'sweep', spec: sweep({ strategy: { trials: 2 }, screening }), facts: FACTS });
  const [now] = await whyTexts(
    { state: fleet.state, observed: { now: 1, connected: connections() } },
    { id: 'sweep-1' },
  );
  assert.match(now ?? '', /^now: sweep-1 scores group 1: 0 of 4 candidates have theirs/);
});
