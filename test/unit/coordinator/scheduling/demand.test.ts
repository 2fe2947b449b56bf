// What a scaler goes by: how many workers the open runs could use, and which runs ask for none.

import assert from 'node:assert/strict';
import test from 'node:test';
import { workerWith } from '../../../../coordinator/model/state.ts';
import { workersDesired } from '../../../../coordinator/scheduling/demand.ts';
import { teacher } from '../../../sim/specs.ts';
import { handFleet } from '../../../support/hand-fleet.ts';
import { connections, waitsIn } from '../../../support/state.ts';

const workers = (min: number, max: number) => ({ workers: { min, max } });
const HOUR = 3_600_000;

/** Workers that the open runs could use, of all or of these. */
function desired(fleet: ReturnType<typeof handFleet>, isMeant?: (id: string) => boolean) {
  const state = fleet.state();
  const observed = { now: fleet.now(), connected: connections(['w1', 'w2']) };
  return workersDesired({ state, observed }, waitsIn(state, observed), isMeant);
}

test('runs that train or wait for workers count with the most that they can use', () => {
  const fleet = handFleet({});
  assert.equal(desired(fleet), 0);
  const first = fleet.submit(teacher(workers(1, 4)));
  const second = fleet.submit(teacher(workers(2, 3)));
  assert.equal(desired(fleet), 7);
  fleet.give({ kind: 'pause', id: first, reason: '' });
  assert.equal(desired(fleet), 4, 'what it has until it has stored where it stands');
  fleet.give({ kind: 'cancel', id: second, reason: '' });
  const { generation } = fleet.run(first);
  fleet.report('w1', { kind: 'paused', runId: first, generation, step: 0 });
  assert.equal(desired(fleet), 0);
});

test('what an owner may not have at once is no demand, whether it waits for the quota or for workers', () => {
  const fleet = handFleet();
  fleet.give({
    ...{ kind: 'configured', usageHalfLifeMs: 24 * HOUR },
    quotas: { alice: { workers: 2, windowHours: 24 }, bob: { workerHours: 1, windowHours: 24 } },
  });
  for (let i = 0; i < 5; i++) fleet.submit(teacher(workers(1, 4)), 'alice');
  assert.equal(desired(fleet), 2, 'nobody is there yet, and two are enough');
  const elastic = fleet.submit(teacher(workers(1, 4)), 'bob');
  assert.equal(desired(fleet), 6);
  fleet.give({ kind: 'prioritise', id: elastic, priority: 90, reason: '' });
  fleet.attach({ workerId: 'w1' });
  fleet.wait(2 * HOUR);
  fleet.submit(teacher(workers(1, 4)), 'bob');
  assert.deepEqual(fleet.gang(elastic), ['w1']);
  assert.equal(desired(fleet), 3, 'it goes on as it is, and nothing else of bob begins');
});

test('a run that none of the workers that are scaled could train is no demand for them', () => {
  const fleet = handFleet({ workerId: 'pod-0' }, { workerId: 'w1', labels: { gpu: 'a100' } });
  const isPod = (id: string) => id.startsWith('pod-');
  fleet.submit(teacher({ ...workers(1, 8), require: { labels: { gpu: 'a100' } } }));
  fleet.submit(teacher({ ...workers(8, 8), require: { labels: { gpu: 'a100' } } }));
  assert.deepEqual([desired(fleet), desired(fleet, isPod)], [16, 0]);
  fleet.submit(teacher(workers(1, 2)));
  assert.equal(desired(fleet, isPod), 2);
  // One that was there is remembered; of those that never were nothing is known.
  fleet.give({
    ...{ kind: 'lost', cause: 'drained', workerId: 'pod-0', incarnation: 'i' },
    reason: 'scaled',
  });
  assert.equal(desired(fleet, isPod), 2);
  assert.equal(
    desired(fleet, (id) => id.startsWith('new-')),
    17,
    'but for the worker that one has',
  );
});

test('a worker that was to leave gets work again, unless its process ends or somebody drains it', () => {
  const fleet = handFleet({}, {});
  const state = (id: string) => workerWith(fleet.state(), id)?.state;
  const worker = { workerId: 'w2', incarnation: 'i' };
  const leave = () => fleet.give({ kind: 'leaving', ...worker, reason: 'fewer are needed', mayStay: true });
  const stay = () => fleet.give({ kind: 'staying', ...worker, reason: 'wanted again' });
  leave();
  assert.equal(state('w2'), 'draining');
  const run = fleet.submit(teacher(workers(2, 2)));
  stay();
  assert.deepEqual([state('w2'), fleet.gang(run).length], ['attached', 2]);
  fleet.give({ kind: 'cancel', id: run, reason: '' });
  for (const final of [
    () => fleet.give({ kind: 'leaving', ...worker, reason: 'its pod is evicted' }),
    () => fleet.report('w2', { kind: 'draining' }),
  ]) {
    leave();
    final();
    stay();
    assert.equal(state('w2'), 'draining');
    fleet.crash('w2');
    fleet.attach(worker);
  }
});
