import assert from 'node:assert/strict';
import { test } from 'node:test';
import { trialView } from '../../../../coordinator/api/views.ts';
import { attemptOf } from '../../../../coordinator/model/attempts.ts';
import { runOf, trialOf } from '../../../../coordinator/model/state.ts';
import { sweep, training } from '../../../sim/specs.ts';
import { FACTS } from '../../../sim/world.ts';
import { core } from '../decisions/core.ts';

const attemptsOf = (fleet: ReturnType<typeof core>, id: string) => {
  const { attempts, searchAttempts } = trialView(fleet.state, trialOf(fleet.state, id));
  return [searchAttempts, attempts];
};

/** Infrastructure fails the run ten times, after which it has failed for good. */
function failTooOften(fleet: ReturnType<typeof core>, id: string): void {
  for (let n = 1; n <= 10; n++) {
    while (runOf(fleet.state, id).state === 'queued') fleet.give({ kind: 'tick' });
    fleet.fail(id, 'infrastructure');
  }
}

test('attempts at a search and at the training of what it found are counted apart', () => {
  const fleet = core(1);
  const strategy = {
    ...{ kind: 'darts', seeds: [1, 2], supernet: { channels: 4, layers: 4 } },
    search: { epochs: 1, batch: 16, shards: 2 },
  };
  const spec = sweep({ strategy, evaluation: { training }, parallelism: 1 });
  fleet.submit({ kind: 'sweep', spec, facts: { ...FACTS, digest: 'cd'.repeat(32) } });
  assert.deepEqual(attemptsOf(fleet, 'trial-1'), [1, 0]);
  failTooOften(fleet, 'run-1');
  assert.deepEqual(attemptsOf(fleet, 'trial-1'), [2, 0]);
});

test('a candidate that was promoted begins at its first attempt again, and one that failed does not', () => {
  const fleet = core(1);
  const strategy = { kind: 'asha', trials: 2, eta: 2, lag: 1, fidelity: 'images', fractionMin: 0.5 };
  const evaluation = { training: { ...training, epochs: 4 } };
  fleet.submit({
    kind: 'sweep',
    spec: sweep({ strategy, evaluation, parallelism: 1, attemptsMax: 2 }),
    facts: FACTS,
  });
  failTooOften(fleet, 'run-1');
  assert.deepEqual(attemptsOf(fleet, 'trial-1'), [0, 2]);
  const promoted = () => fleet.events.find((event) => event.kind === 'trial.promoted')?.trialId;
  for (let left = 20; promoted() === undefined; left--) {
    assert.ok(left > 0, 'nothing is promoted');
    while (fleet.running().length === 0) fleet.give({ kind: 'tick' });
    fleet.finish(fleet.running()[0]!, 0.5);
  }
  const trial = trialOf(fleet.state, promoted()!);
  assert.deepEqual(attemptsOf(fleet, trial.id), [0, 1]);
  assert.ok(trial.runIds.length > 1);
  assert.deepEqual(
    trialOf(fleet.state, 'trial-1')
      .runIds.slice(0, 2)
      .map((id) => attemptOf(fleet.state, trialOf(fleet.state, 'trial-1'), id)),
    [1, 2],
  );
});
