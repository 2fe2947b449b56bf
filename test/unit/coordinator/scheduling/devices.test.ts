import assert from 'node:assert/strict';
import test from 'node:test';
import type { RunState } from '../../../../coordinator/model/state.ts';
import { CHANGE_INTERVAL_MS } from '../../../../coordinator/scheduling/board.ts';
import { OVERTAKE_MS } from '../../../../coordinator/scheduling/reservation.ts';
import { chanceOf } from '../../../sim/chance.ts';
import { teacher, training } from '../../../sim/specs.ts';
import { handFleet } from '../../../support/hand-fleet.ts';

const one = { workers: { min: 1, max: 1 } };
const exclusive = { ...one, require: { device: 'exclusive' } };
const on = (deviceId: string) => ({ deviceId, slots: 2 });

test('the members of a gang are on devices of their own, also when it grows or loses one', () => {
  const { submit, gang, pass, crash } = handFleet(on('a'), on('a'), on('b'), on('b'));
  const pair = submit(teacher({ workers: { min: 2, max: 2 } }));
  assert.deepEqual(gang(pair), ['w1', 'w3']);
  const elastic = submit(teacher({ workers: { min: 1, max: 4 } }));
  pass(CHANGE_INTERVAL_MS);
  assert.deepEqual(gang(elastic), ['w2', 'w4']);
  crash('w3');
  assert.deepEqual(gang(pair), ['w1', 'w4'], 'not the other worker of the device that it is on');
});

test('a gang of more members than there are devices waits, and its reason has both numbers', () => {
  const { submit, reason, attach, gang } = handFleet(on('a'), on('a'), on('b'));
  const wide = submit(teacher({ workers: { min: 3, max: 3 } }));
  assert.match(reason(wide), /^queued: 2 of 3 workers: 3 on 2 devices, of which a gang takes one each/);
  attach(on('c'));
  assert.equal(gang(wide).length, 3);
});

test('workers that name no device have one each', () => {
  const { submit, gang } = handFleet({}, {});
  assert.equal(gang(submit(teacher({ workers: { min: 2, max: 2 } }))).length, 2);
});

test('an exclusive run has all of its device, and reasons name the device and who holds it', () => {
  const { submit, gang, reason, give } = handFleet(on('a'), on('a'));
  const shared = submit(teacher(one));
  const alone = submit(teacher(exclusive));
  assert.match(
    reason(alone),
    /^queued: 0 of 1 workers: 1 devices that hold other runs, and it needs whole ones \(a: run-1\)/,
  );
  give({ kind: 'cancel', id: shared, reason: '' });
  assert.equal(gang(alone).length, 1);
  const behind = submit(teacher(one));
  assert.equal(reason(behind), 'queued: 0 of 1 workers: 2 on devices that run-2 has for itself');
  give({ kind: 'cancel', id: alone, reason: '' });
  assert.equal(gang(behind).length, 1);
});

test('two exclusive runs of one decision get two devices', () => {
  const { submit, gang, attach } = handFleet();
  const runs = [submit(teacher(exclusive)), submit(teacher(exclusive)), submit(teacher(one))];
  attach(on('a'));
  attach(on('a'));
  attach(on('b'));
  assert.deepEqual(runs.map(gang), [['w1'], ['w3'], []]);
});

test('a device is kept for an exclusive run, which has those on loan and of lower priority pause', () => {
  const { submit, gang, pass, run, report } = handFleet(on('a'), on('a'), on('b'), on('b'));
  const paused = (id: string) => {
    const { generation } = run(id);
    report(gang(id)[0]!, { kind: 'paused', runId: id, generation, step: 0 });
  };
  const high = submit(teacher({ ...one, priority: 90 }));
  const low = submit(teacher({ ...one, priority: 10 }));
  pass(CHANGE_INTERVAL_MS);
  assert.deepEqual([gang(high), gang(low)], [['w1'], ['w2']], 'the least loaded worker, whatever its device');
  const other = submit(teacher({ ...one, priority: 20 }));
  pass(CHANGE_INTERVAL_MS);
  const alone = submit(teacher({ ...exclusive, priority: 50 }));
  assert.deepEqual(gang(other), ['w3']);
  assert.deepEqual([run(low).state, run(other).state], ['running', 'pausing'], 'high keeps the first device');
  const next = submit(teacher({ ...one, priority: 40 }));
  assert.deepEqual(gang(next), ['w1'], 'the second one is kept');
  paused(other);
  assert.deepEqual(gang(alone), ['w3']);
});

test('a device is lent while an exclusive run waits for it, and comes back', () => {
  const { submit, gang, pass, run, report, give } = handFleet(on('a'), on('a'));
  const first = submit(teacher(one));
  const alone = submit(teacher(exclusive));
  const borrower = submit(teacher(one));
  assert.equal(run(borrower).lentByRunId, alone);
  pass(OVERTAKE_MS + 1);
  assert.equal(run(borrower).state, 'running');
  give({ kind: 'cancel', id: first, reason: '' });
  assert.equal(run(borrower).state, 'pausing');
  report(gang(borrower)[0]!, {
    ...{ kind: 'paused', runId: borrower, generation: run(borrower).generation, step: 0 },
  });
  assert.equal(gang(alone).length, 1);
});

test('an exclusive run has an estimate of its start, and a run that ends before uses its device until then', () => {
  const { submit, gang, pass, measure, progress, reason } = handFleet(on('a'), on('a'));
  const epochs = (count: number) => submit(teacher({ ...one, training: { ...training, epochs: count } }));
  const first = epochs(1_000);
  const alone = submit(teacher(exclusive));
  pass(OVERTAKE_MS + 1);
  // 64 images an epoch, of which 9 epochs are left.
  measure(first, 'w1', 64);
  progress(first, 4 * (1_000 - 9));
  const longer = epochs(12);
  assert.deepEqual(gang(longer), []);
  assert.match(reason(alone), /by estimate it starts at 1970-01-01T00:00:39Z/);
  assert.equal(gang(epochs(8)).length, 1, '8 s before 9 s');
  assert.deepEqual([gang(longer), gang(alone)], [[], []]);
});

test('elastic gangs give up all that they have of a device for an exclusive run', () => {
  const { submit, gang, pass } = handFleet(on('a'), on('a'), on('b'), on('b'));
  const elastic = submit(teacher({ workers: { min: 1, max: 2 } }));
  pass(CHANGE_INTERVAL_MS);
  assert.equal(gang(elastic).length, 2);
  const alone = submit(teacher(exclusive));
  assert.deepEqual([gang(elastic).length, gang(alone).length], [1, 1]);
});

test('whatever comes and goes, members are on devices of their own, exclusive runs share none, and all get done', () => {
  const chance = chanceOf(7);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(chance() * from.length)]!;
  const deviceIds = new Map([1, 2, 3, 4, 5, 6].map((i) => [`w${i}`, `d${Math.ceil(i / 2)}`]));
  const fleet = handFleet(...[...deviceIds.values()].map(on));
  const { submit, run, pass, report, crash } = fleet;
  const ids: string[] = [];
  const inState = (...states: string[]) => ids.map(run).filter(({ state }) => states.includes(state));
  const end = ({ id: runId, generation, gang, state }: RunState) => {
    const kind = state === 'pausing' ? 'paused' : 'finished';
    const common = { runId, generation, step: 1 };
    if (kind === 'paused') report(gang[0]!.workerId, { kind, ...common });
    else report(gang[0]!.workerId, { kind, ...common, weightsDigest: '' });
  };
  const check = () => {
    const all = inState('running', 'pausing').flatMap((one) => one.gang.map((m) => ({ one, ...m })));
    for (const { one, workerId } of all) {
      const beside = all.filter((other) => deviceIds.get(other.workerId) === deviceIds.get(workerId));
      assert.equal(
        beside.filter((other) => other.one.id === one.id).length,
        1,
        `${one.id} has a device twice`,
      );
      if (one.job.require?.device === 'exclusive') assert.equal(beside.length, 1, `${one.id} is not alone`);
    }
  };
  let exclusives = 0;
  let pauses = 0;
  for (let turn = 0; turn < 80; turn++) {
    const min = pick([1, 1, 2, 3]);
    const device = pick(['shared', 'shared', 'exclusive']);
    if (inState('queued').length < 6)
      ids.push(
        submit(
          teacher({
            workers: { min, max: pick([min, 3]) },
            require: { device },
            priority: pick([10, 50, 90]),
          }),
        ),
      );
    if (chance() < 0.05) crash(pick([...deviceIds.keys()]));
    check();
    const open = inState('running', 'pausing');
    if (open.length > 0 && chance() < 0.6) end(pick(open));
    check();
    pass(pick([100, 2_000, 40_000]));
    check();
    pauses += inState('pausing').length;
    exclusives += inState('running').filter(({ job }) => job.require?.device === 'exclusive').length;
  }
  assert.ok(exclusives > 5 && pauses > 5, `${exclusives} exclusive runs trained, ${pauses} paused`);
  for (let turn = 0; turn < 500 && inState('queued', 'running', 'pausing').length > 0; turn++) {
    for (const one of inState('running', 'pausing').slice(0, 1)) end(one);
    pass(61_000);
    check();
  }
  assert.deepEqual(
    inState('queued', 'running', 'pausing').map(({ id }) => fleet.reason(id)),
    [],
  );
});
