import assert from 'node:assert/strict';
import test from 'node:test';
import { searchWait } from '../../../../coordinator/api/search-progress.ts';
import { hoursAt, wallHoursAt } from '../../../../coordinator/model/accounts.ts';
import { lookup } from '../../../../coordinator/model/persistent-map.ts';
import { encodeState } from '../../../../coordinator/model/snapshot.ts';
import { decodeState } from '../../../../coordinator/model/snapshot-decoder.ts';
import { sweepOf } from '../../../../coordinator/model/state.ts';
import { CHANGE_INTERVAL_MS } from '../../../../coordinator/scheduling/board.ts';
import { coordinatorConfigSchema, loadConfig } from '../../../../core/config.ts';
import type { Quotas } from '../../../../core/quotas.ts';
import { plan, sweep, teacher, training } from '../../../sim/specs.ts';
import { handFleet } from '../../../support/hand-fleet.ts';

const HOUR = 3_600_000;
const one = { min: 1, max: 1 };
const usageHalfLifeMs = 24 * HOUR;

/** Four workers and these limits, as they are in force. */
function limited(quotas: Quotas) {
  const fleet = handFleet({}, {}, {}, {});
  const configure = () => fleet.give({ kind: 'configured', quotas, usageHalfLifeMs }).events;
  assert.deepEqual(
    configure().map(({ kind }) => kind),
    ['scheduling.configured'],
  );
  assert.deepEqual(configure(), [], 'once');
  return fleet;
}

test('an owner has as many workers at once as the quota says, also by growing, and the rest waits with the number', () => {
  const { submit, gang, reason, kind, pass, give } = limited({ alice: { workers: 2, windowHours: 24 } });
  const elastic = submit(teacher({ workers: { min: 1, max: 4 } }), 'alice');
  pass(CHANGE_INTERVAL_MS);
  assert.equal(gang(elastic).length, 2);
  const waits = submit(teacher({ workers: { min: 2, max: 2 } }), 'alice');
  assert.equal(kind(waits), 'quota');
  assert.equal(reason(waits), 'queued: alice has 2 workers and its quota is 2; 2 more are needed');
  const other = submit(teacher({ workers: { min: 2, max: 2 } }), 'bob');
  assert.equal(gang(other).length, 2, 'nothing is kept for a run that its quota holds back');
  give({ kind: 'cancel', id: elastic, reason: '' });
  assert.equal(gang(waits).length, 2);
});

test('several runs that are placed at once do not pass the quota together', () => {
  const { submit, gang, give } = limited({ '*': { workers: 2, windowHours: 24 } });
  const wide = submit(teacher({ workers: { min: 2, max: 2 } }));
  const small = [1, 2, 3].map(() => submit(teacher({ workers: one })));
  assert.ok(small.every((id) => gang(id).length === 0));
  give({ kind: 'cancel', id: wide, reason: '' });
  assert.deepEqual(
    small.map((id) => gang(id).length),
    [1, 1, 0],
  );
});

test('worker-hours within the window hold back what is not running, until enough has gone out of it', () => {
  const { submit, gang, reason, wait, pass, give } = limited({ alice: { workerHours: 5, windowHours: 3 } });
  const first = submit(teacher({ workers: { min: 2, max: 2 } }), 'alice');
  wait(3 * HOUR - 1_000);
  const waits = submit(teacher({ workers: one }), 'alice');
  assert.equal(gang(first).length, 2, 'it goes on');
  assert.match(
    reason(waits),
    /^queued: alice has used 6.0 worker-hours in 3 h and its quota is 5; the next run starts at 1970-01-01T03:00Z/,
  );
  give({ kind: 'cancel', id: first, reason: '' });
  assert.deepEqual(gang(waits), []);
  pass(HOUR);
  assert.equal(gang(waits).length, 1, 'two hours have gone out of the window');
});

test('wall time and attempts within the window hold back what has not begun, each with its numbers', () => {
  const wall = limited({ alice: { wallHours: 2, windowHours: 24 } });
  const both = [1, 2].map(() => wall.submit(teacher({ workers: one }), 'alice'));
  wall.wait(2 * HOUR);
  const late = wall.submit(teacher({ workers: one }), 'alice');
  assert.ok(
    both.every((id) => wall.gang(id).length === 1),
    'they go on',
  );
  assert.match(
    wall.reason(late),
    /^queued: alice has had workers for 2\.0 h in 24 h and its quota is 2; the next run starts at 1970-01-02T0[01]:00Z/,
  );
  for (const id of both) wall.give({ kind: 'cancel', id, reason: '' });
  wall.pass(23 * HOUR);
  assert.equal(wall.gang(late).length, 1);

  const fleet = limited({ alice: { attempts: 2, windowHours: 2 } });
  const ids = [1, 2, 3].map(() => fleet.submit(teacher({ workers: one }), 'alice'));
  assert.deepEqual(
    ids.map((id) => fleet.gang(id).length),
    [1, 1, 0],
  );
  assert.match(
    fleet.reason(ids[2]!),
    /^queued: alice has begun 2 runs in 2 h and its quota is 2; the next run starts at 1970-01-01T02:00Z/,
  );
  fleet.crash('w1');
  assert.equal(fleet.gang(ids[0]!).length, 1, 'one that goes on elsewhere is no further attempt');
  fleet.pass(2 * HOUR);
  assert.equal(fleet.gang(ids[2]!).length, 1);
  const state = decodeState(JSON.parse(JSON.stringify([...encodeState(fleet.state())])));
  assert.deepEqual(lookup(state.accounts, 'owner alice'), lookup(fleet.state().accounts, 'owner alice'));

  const idle = limited({ alice: { attempts: 2, windowHours: 1 } });
  const wide = idle.submit(teacher({ workers: { min: 4, max: 4 } }), 'bob');
  const many = [1, 2, 3].map(() => idle.submit(teacher({ workers: one }), 'alice'));
  idle.give({ kind: 'cancel', id: wide, reason: '' });
  assert.deepEqual(
    many.map((id) => idle.gang(id).length),
    [1, 1, 0],
    'also of those that begin together',
  );
});

test('time that only the clock has seen is charged to nobody: shares, quotas, budgets', () => {
  const fleet = limited({ alice: { workerHours: 100, wallHours: 100, windowHours: 24 } });
  const budget = { workerSeconds: 7_200, wallSeconds: 7_200 };
  const id = fleet.submit(teacher({ workers: one, budget }), 'alice');
  const hours = (of: typeof hoursAt) =>
    of(lookup(fleet.state().accounts, 'owner alice')!, fleet.now(), 24).reduce((sum, [, ms]) => sum + ms, 0) /
    HOUR;
  fleet.wait(HOUR / 2);
  fleet.jump(5 * HOUR);
  fleet.pass(HOUR / 2);
  const { usedMs, atMs, workers } = lookup(fleet.state().accounts, 'owner alice')!;
  const used = usedMs + workers * (fleet.now() - atMs);
  assert.ok(used > 0.85 * HOUR && used < 1.01 * HOUR, `${used / HOUR} h count for the share`);
  for (const kind of [hoursAt, wallHoursAt]) assert.ok(Math.abs(hours(kind) - 1) < 0.001, `${hours(kind)} h`);
  assert.equal(fleet.run(id).state, 'running', 'neither budget is spent');
  assert.deepEqual(fleet.jumps(), ['18000 s are charged to nobody: test'], 'once');
  // What is lost with the gang is what it has computed: an hour, and not six.
  fleet.wait(HOUR);
  fleet.crash('w1', 0);
  assert.ok(Math.abs(hours(hoursAt)) < 0.01, `${hours(hoursAt)} h are left`);
  fleet.pass(HOUR);
  assert.equal(fleet.run(id).failureCause, 'budget');
});

test('what is lost with a gang is not counted among worker-hours, and what is stored is', () => {
  const fleet = limited({ alice: { workerHours: 100, windowHours: 24 } });
  const { submit, gang, wait, pass, attach, crash } = fleet;
  const used = () => {
    const account = lookup(fleet.state().accounts, 'owner alice')!;
    return hoursAt(account, fleet.now(), 24).reduce((sum, [, ms]) => sum + ms, 0) / HOUR;
  };
  const near = (hours: number) =>
    assert.ok(Math.abs(used() - hours) < 0.01, `${used()} h in place of ${hours}`);
  const id = submit(teacher({ workers: { min: 1, max: 2 } }), 'alice');
  pass(CHANGE_INTERVAL_MS);
  assert.equal(gang(id).length, 2);
  wait(HOUR);
  near(2);
  const [first = '', second = ''] = gang(id);
  const { generation } = fleet.run(id);
  fleet.report(first, {
    ...{ kind: 'checkpointStored', runId: id, generation, stage: 1, step: 4, bytes: 1, digest: 'd' },
  });
  wait(HOUR);
  near(4);
  // One of the two is lost, of which the other has everything; nobody else is of their class.
  for (const other of ['w3', 'w4']) attach({ workerId: other, incarnation: 'gone', deviceClass: 'other' });
  crash(second, 0);
  near(4);
  wait(HOUR);
  near(5);
  crash(first, 0);
  near(2);
});

test('sweeps of one owner have no more open trials together than the quota says, and all end', () => {
  const { submit, state, give } = limited({ alice: { openTrials: 3, windowHours: 24 } });
  const spec = (parallelism: number) => sweep({ strategy: { trials: 4 }, parallelism });
  const [first, second] = [submit(spec(2), 'alice'), submit(spec(2), 'alice')];
  const open = () => (state().counts['trial queued'] ?? 0) + (state().counts['trial running'] ?? 0);
  const wait = (id: string) => searchWait(state(), sweepOf(state(), id))?.text;
  assert.equal(open(), 3);
  assert.deepEqual([first, second].map(wait), [
    undefined,
    'waits for the quota of alice, which is 3 open trials: 3 are open, 1 of them its own',
  ]);
  give({ kind: 'cancel', id: first, reason: '' });
  assert.equal(open(), 2, 'the other sweep opens what it lacks');
  assert.equal(wait(second), undefined);
  give({ kind: 'cancel', id: second, reason: '' });
  assert.equal(open(), 0);
});

test('a trial that was paused counts once among those that its owner has open', () => {
  const { submit, state, give } = limited({ alice: { openTrials: 2, windowHours: 24 } });
  const [first, second] = [1, 1].map((parallelism) => submit(sweep({ parallelism }), 'alice'));
  const asked = { id: 'trial-1', reason: '' };
  give({ kind: 'pause', ...asked });
  give({ kind: 'resume', ...asked });
  give({ kind: 'cancel', id: first!, reason: '' });
  submit(sweep({ parallelism: 1 }), 'alice');
  assert.equal(lookup(state().accounts, 'owner alice')?.openTrials, 2);
  assert.equal(sweepOf(state(), second!).openTrials.size, 1);
});

test('what never fits is refused at the submit with the number, and nothing changes', () => {
  const fleet = limited({ alice: { workers: 2, openTrials: 3, windowHours: 24 } });
  const before = fleet.state();
  const refused = (spec: Parameters<typeof fleet.submit>[0], message: RegExp) =>
    assert.throws(() => fleet.submit(spec, 'alice'), { code: 'failedPrecondition', message });
  refused(
    teacher({ workers: { min: 3, max: 3 } }),
    /^workers.min: 3 workers at once, and the quota of alice is 2; ask for 2 at most, or have the quota raised$/,
  );
  refused(sweep({ parallelism: 4 }), /^parallelism: 4 open trials at once, and the quota of alice is 3/);
  const wide = { name: 'wide', network: 'best', training, workers: { min: 4, max: 4 } };
  refused(plan({ students: [wide] }), /^students\.0\.workers\.min: 4 workers/);
  assert.equal(fleet.state(), before);
  fleet.submit(teacher({ workers: { min: 3, max: 3 } }), 'bob');
});

test('quotas come from the file, a flag or the environment; an unknown limit is named', () => {
  const of = (env: NodeJS.ProcessEnv) => loadConfig(coordinatorConfigSchema, [], env).quotas;
  assert.deepEqual(of({}), {});
  assert.deepEqual(of({ POCKETFLEET_QUOTAS: '{"alice":{"workers":4}}' }), {
    alice: { workers: 4, windowHours: 24 },
  });
  assert.deepEqual(of({ POCKETFLEET_QUOTAS: 'bob: { openTrials: 2, windowHours: 1 }' }), {
    bob: { openTrials: 2, windowHours: 1 },
  });
  assert.throws(() => of({ POCKETFLEET_QUOTAS: 'alice: { worker: 4 }' }), /quotas.alice.*worker/);
  assert.throws(() => of({ POCKETFLEET_QUOTAS: 'alice: { workers: 0 }' }), /quotas.alice.workers/);
  assert.throws(() => of({ POCKETFLEET_QUOTAS: 'alice' }), /quotas/);
});
