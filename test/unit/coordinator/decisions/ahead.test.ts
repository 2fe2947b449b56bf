// What busy workers are told to prepare, by hand: nothing is sent to a worker, and time passes when the test says.

import assert from 'node:assert/strict';
import test from 'node:test';
import type { Decision } from '../../../../coordinator/decisions/decide.ts';
import { runOf } from '../../../../coordinator/model/state.ts';
import { sweep, teacher, training } from '../../../sim/specs.ts';
import { handFleet } from '../../../support/hand-fleet.ts';

const one = { workers: { min: 1, max: 1 } };
const LONG = { ...training, epochs: 1_000 };

function toldIn({ effects }: Decision): { workerId: string; of: string; network: unknown }[] {
  return effects.flatMap((effect) =>
    effect.kind === 'send' && effect.command.kind === 'prepare'
      ? [{ workerId: effect.workerId, of: effect.command.of, network: effect.command.spec.network }]
      : [],
  );
}

/** Ends the run that a worker has; what is placed next is told by the fleet. */
function finish(fleet: ReturnType<typeof handFleet>, workerId: string): void {
  const [runId] = fleet.held(workerId);
  const { generation } = runOf(fleet.state(), runId!);
  const evaluation = { accuracy: 0.5, accuracyStd: 0, auc: 0.5, eer: 0.5, tarAtFar: 0.5, pairs: 40 };
  fleet.report(workerId, {
    ...{ kind: 'finished', runId: runId!, generation, step: 4, weightsDigest: '', evaluation },
  });
}

const networkOn = (fleet: ReturnType<typeof handFleet>, workerId: string) => {
  const assigned = fleet.held(workerId).map((id) => fleet.specOf(id).network);
  return assigned[0];
};

test('a worker is told of the candidate that its sweep proposes next, once, and gets it when its slot is free', () => {
  const fleet = handFleet({}, {});
  fleet.submit(sweep());
  assert.deepEqual(toldIn(fleet.pass(1_000)), [], 'it may be over before that helps');
  const told = toldIn(fleet.pass(5_000));
  assert.deepEqual(
    told.map(({ workerId, of }) => [workerId, of]),
    [
      ['w1', 'sweep-1'],
      ['w2', 'sweep-1'],
    ],
  );
  assert.notDeepEqual(told[0]!.network, told[1]!.network);
  assert.deepEqual(toldIn(fleet.pass(5_000)), []);
  finish(fleet, 'w1');
  assert.deepEqual(networkOn(fleet, 'w1'), told[0]!.network);
  finish(fleet, 'w2');
  assert.deepEqual(networkOn(fleet, 'w2'), told[1]!.network);
});

test('what waits in the queue comes first, and the worker that ends first is told of the first', () => {
  const fleet = handFleet({}, {});
  const runs = ['a', 'b', 'c', 'd'].map((name) => fleet.submit(teacher({ ...one, name, training: LONG })));
  const [first, second] = runs as [string, string];
  fleet.measure(first, 'w1', 64);
  fleet.measure(second, 'w2', 64);
  assert.deepEqual(toldIn(fleet.pass(10_000)), [], 'a thousand seconds are left');
  fleet.progress(first, 4 * 950);
  fleet.progress(second, 4 * 980);
  assert.deepEqual(
    toldIn(fleet.pass(100)).map(({ workerId, of }) => [workerId, of]),
    [
      ['w2', runs[2]],
      ['w1', runs[3]],
    ],
  );
});

test('a worker is told of nothing that it could not get', () => {
  const fleet = handFleet({ labels: { gpu: 'a100' } }, {});
  const a100 = { labels: { gpu: 'a100' } };
  for (const require of [a100, undefined, a100, a100])
    fleet.submit(teacher({ ...one, training: LONG, ...(require && { require }) }));
  const told = toldIn(fleet.pass(5_001)).map(({ workerId, of }) => [workerId, of]);
  assert.deepEqual(told, [['w1', 'run-3']]);
});

test('a sweep that has no trials left, or is paused, has nobody prepare', () => {
  const fleet = handFleet({}, {});
  const id = fleet.submit(sweep({ strategy: { trials: 3 } }));
  assert.equal(toldIn(fleet.pass(5_001)).length, 1);
  fleet.give({ kind: 'pause', id, reason: '' });
  assert.deepEqual(toldIn(fleet.pass(60_000)), []);
});

test('a look ahead changes no state and is bounded, however many workers wait for one', () => {
  const fleet = handFleet(...Array.from({ length: 40 }, () => ({})));
  fleet.submit(sweep({ strategy: { trials: 1_000 } }));
  const before = fleet.state();
  const decision = fleet.pass(5_001);
  assert.deepEqual([decision.events, fleet.state() === before], [[], true]);
  assert.equal(toldIn(decision).length, 8);
  assert.equal(toldIn(fleet.pass(200)).length, 8, 'the others have their turn');
});

test('a worker is told nothing of a run whose precision it does not compute in', () => {
  const fleet = handFleet({}, {});
  for (const precision of [undefined, undefined, 'bf16', undefined] as const)
    fleet.submit(teacher({ ...one, training: { ...LONG, ...(precision && { precision }) } }));
  const told = toldIn(fleet.pass(5_001)).map(({ workerId, of }) => [workerId, of]);
  assert.deepEqual(told, [['w1', 'run-4']]);
});
