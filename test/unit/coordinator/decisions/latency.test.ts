// Latency as an objective: who measures it, what a search learns of it, and which results of others have one.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { classesText } from '../../../../coordinator/api/search-progress.ts';
import { encodeState } from '../../../../coordinator/model/snapshot.ts';
import { decodeState } from '../../../../coordinator/model/snapshot-decoder.ts';
import { specOf } from '../../../../coordinator/model/spec-of.ts';
import { runOf, runWith, sweepOf, trialOf } from '../../../../coordinator/model/state.ts';
import { sweep } from '../../../sim/specs.ts';
import { FACTS } from '../../../sim/world.ts';
import { plainOf } from '../../../support/state.ts';
import { core } from './core.ts';

const objectives = [{ name: 'accuracy' }, { name: 'latency', direction: 'minimise' }];

/** A fleet of one worker of a class and a code; `submit` begins a search that measures latencies, or another. */
function fleetOf(deviceClass: string) {
  const fleet = core(1, { code: 'c0de0001', deviceClass });
  const submit = (change: Record<string, unknown> = {}) => {
    const spec = sweep({ strategy: { trials: 1 }, parallelism: 1, ...change });
    fleet.submit({ kind: 'sweep', spec, facts: { ...FACTS, digest: 'd' } });
  };
  const finish = (milliseconds?: number, on = deviceClass) => {
    const latency = milliseconds === undefined ? {} : { latency: { milliseconds, deviceClass: on } };
    fleet.finish(fleet.running()[0]!, 0.8, 'w', latency);
  };
  return Object.assign(fleet, { begin: submit, measured: finish });
}

test('candidates are asked for a latency, it counts as an objective, and one without it has failed', () => {
  const fleet = fleetOf('cpu/a');
  fleet.begin({ objectives, strategy: { kind: 'nsga2', trials: 4, population: 2, lag: 1 } });
  assert.equal(specOf(fleet.state, runOf(fleet.state, 'run-1')).verification.latency, true);
  fleet.measured(12.5);
  fleet.measured();
  fleet.measured(20, 'cuda/b');
  const [first, second] = ['trial-1', 'trial-2'].map((id) => trialOf(fleet.state, id));
  assert.deepEqual([first!.objectives, first!.measuredOn], [{ accuracy: 0.8, latency: 12.5 }, 'cpu/a']);
  assert.equal(first!.reason, 'accuracy 0.8000, 12.50 ms an image');
  assert.equal(second!.state, 'failed');
  assert.equal(second!.reason, 'its run run-2 finished without a latency, for which its sweep looks');
  const found = sweepOf(fleet.state, 'sweep-1');
  const { population } = found.search.strategy as unknown as { population: { scores: number[] }[] };
  assert.deepEqual(
    population.map(({ scores }) => scores),
    [
      [0.8, -12.5],
      [0.8, -20],
    ],
  );
  assert.match(
    classesText(found) ?? '',
    /^sweep-1 has latencies of 2 device classes, .*: 1 on cpu\/a, 1 on cuda\/b;/,
  );
  const stored = JSON.parse(JSON.stringify([...encodeState(fleet.state)]));
  assert.deepEqual(plainOf(decodeState(stored)), plainOf(fleet.state));
});

test('a result is taken with its latency on the device class that would measure it, and else computed', () => {
  const fleet = fleetOf('cpu/a');
  fleet.begin();
  fleet.measured();
  fleet.begin({ objectives });
  assert.deepEqual(fleet.running(), ['run-2'], 'the first has no latency');
  fleet.measured(12.5);
  fleet.begin({ objectives });
  assert.equal(runWith(fleet.state, 'run-3')?.reason, 'reused run-2 of sweep-2');
  assert.deepEqual(trialOf(fleet.state, 'trial-3').objectives, { accuracy: 0.8, latency: 12.5 });
  assert.equal(trialOf(fleet.state, 'trial-3').measuredOn, 'cpu/a');
  fleet.begin();
  assert.equal(
    runWith(fleet.state, 'run-4')?.reason,
    'reused run-2 of sweep-2',
    'whoever needs none takes it too',
  );
  fleet.give({ kind: 'lost', workerId: 'w1', incarnation: 'i', cause: 'silent', reason: 'gone' });
  fleet.attach('b1', { deviceClass: 'cpu/b' });
  fleet.begin({ objectives });
  assert.deepEqual(fleet.running(), ['run-5'], 'measured on another class');
});

test('a rung has its latency, also for whoever takes its result', () => {
  const fleet = fleetOf('cpu/a');
  const halving = { objectives, strategy: { kind: 'asha', trials: 2, eta: 2, lag: 1 } };
  const both = { evaluation: { training: { epochs: 2, batch: 16, shards: 8 } }, ...halving };
  for (const _sweep of [1, 2]) {
    fleet.begin(both);
    for (let ms = 10; fleet.running().length > 0; ms++) fleet.measured(ms);
  }
  const [computed, taken] = [1, 3].map((number) => trialOf(fleet.state, `trial-${number}`));
  assert.deepEqual(computed!.rungs?.[0]?.objectives, { accuracy: 0.8, latency: 10 });
  assert.deepEqual(taken!.rungs?.[0]?.objectives, { accuracy: 0.8, latency: 10 });
  assert.equal(taken!.rungs?.[0]?.measuredOn, 'cpu/a');
});
