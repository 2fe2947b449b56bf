// Sweeps whose strategies learn, in the core: rungs, the order in which results count, and what is journalled.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sentenceOf } from '../../../../coordinator/journal/why.ts';
import { allNumbers } from '../../../../coordinator/model/roll.ts';
import { decodeState, encodeState } from '../../../../coordinator/model/snapshot.ts';
import { specOf } from '../../../../coordinator/model/spec-of.ts';
import { runOf, sweepOf, trialOf } from '../../../../coordinator/model/state.ts';
import { randomStream } from '../../../../core/rng.ts';
import { sweep, training } from '../../../sim/specs.ts';
import { FACTS } from '../../../sim/world.ts';
import { folded, plainOf } from '../../../support/state.ts';
import { core } from './core.ts';

/** What a trial measures: better with its number in a fixed jumble, and with more epochs. */
const accuracyOf = (number: number, epochs: number) => 0.3 + ((number * 37) % 101) / 200 + epochs / 100;

/** Runs a sweep to its end; `order` chooses which of the running runs finishes next. */
function searched(
  strategy: Record<string, unknown>,
  workers: number,
  order: (count: number) => number = () => 0,
) {
  const fleet = core(workers);
  const evaluation = { training: { ...training, epochs: 4 } };
  const spec = sweep({ strategy, evaluation, parallelism: workers });
  fleet.submit({ kind: 'sweep', spec, facts: FACTS });
  const seeds = new Map<string, Set<number>>();
  for (let left = 500; sweepOf(fleet.state, 'sweep-1').state === 'running'; left--) {
    assert.ok(left > 0, 'the sweep goes on for ever');
    const running = fleet.running();
    const id = running[order(running.length)]!;
    const run = runOf(fleet.state, id);
    const { training: used } = specOf(fleet.state, run);
    const trial = trialOf(fleet.state, run.trialId!);
    seeds.set(trial.id, (seeds.get(trial.id) ?? new Set()).add(used.seed));
    fleet.finish(id, accuracyOf(trial.number, used.epochs));
  }
  const found = sweepOf(fleet.state, 'sweep-1');
  const trials = [...allNumbers(found.trialIds)].map((number) => trialOf(fleet.state, `trial-${number}`));
  return { fleet, sweep: found, trials, seeds };
}

const HALVING = { kind: 'asha', trials: 12, eta: 2, lag: 4 };

test('a trial at a rung is evaluated with its epochs, and one that goes on begins again from the same seed', () => {
  const { trials, sweep: found, seeds, fleet } = searched(HALVING, 2);
  const epochs = trials.map(({ rungs = [] }) => rungs.map(({ fidelity }) => fidelity.epochs));
  assert.ok(epochs.every(([first]) => first === 1));
  const full = trials.filter(({ fidelity }) => fidelity === undefined);
  assert.ok(full.length >= 1 && full.length <= 6, `${full.length} of 12 get all epochs`);
  for (const { rungs = [] } of full) assert.equal(rungs.length, 2);
  assert.ok([...seeds.values()].every((used) => used.size === 1));
  assert.equal(found.state, 'done');
  assert.equal(found.trialsDone, 12);
  // The best has the full evaluation, whatever a rung showed of others.
  const best = trialOf(fleet.state, found.bestTrialId!);
  assert.equal(best.fidelity, undefined);
  assert.equal(best.objectives?.accuracy, Math.max(...full.map(({ objectives }) => objectives!.accuracy!)));
});

test('a sweep makes the same moves for other workers and in another order of finishing', () => {
  for (const strategy of [
    HALVING,
    { ...HALVING, mode: 'stop' },
    { ...HALVING, kind: 'hyperband' },
    { kind: 'evolution', trials: 14, population: 6, sample: 3, lag: 4 },
    { kind: 'tpe', trials: 14, startup: 6, lag: 4 },
  ]) {
    const moves = ({ trials }: ReturnType<typeof searched>) =>
      trials.map(({ genotypeKey, rungs, objectives }) => ({
        ...{ genotypeKey, objectives },
        rungs: rungs?.map(({ fidelity }) => fidelity),
      }));
    const alone = searched(strategy, 1);
    const random = randomStream({ seed: 5, purpose: 'order' });
    const many = searched(strategy, 4, (count) => random.integer(count));
    assert.deepEqual(moves(many), moves(alone), strategy.kind);
  }
});

test('a search is a fold of its journal and goes through a snapshot', () => {
  for (const strategy of [HALVING, { ...HALVING, mode: 'stop' }, { ...HALVING, kind: 'hyperband' }]) {
    const { fleet } = searched(strategy, 3);
    assert.deepEqual(plainOf(folded(JSON.parse(JSON.stringify(fleet.events)))), plainOf(fleet.state));
    const parts = JSON.parse(JSON.stringify([...encodeState(fleet.state)]));
    assert.deepEqual(plainOf(decodeState(parts)), plainOf(fleet.state));
    // What a strategy remembers is in no event.
    assert.ok(fleet.events.every((event) => !('search' in event || 'strategy' in event)));
  }
});

test('why says which rank let a trial go on, and which did not', () => {
  const { fleet } = searched({ ...HALVING, mode: 'stop' }, 2);
  const sentences = fleet.events.map((event) => sentenceOf(event, fleet.state));
  const says = (pattern: RegExp) =>
    assert.ok(
      sentences.some((sentence) => pattern.test(sentence)),
      String(pattern),
    );
  says(/^trial-\d+ goes on: rank 1 of \d+ \(0\.\d{4}\) at 1 epochs, among the best \d+, goes on to 2/);
  says(/^trial-\d+ is stopped: rank \d+ of \d+ \(0\.\d{4}\) at \d epochs, not among the best \d+/);
  says(/^trial-\d+ is trial \d+ of sweep-1: .*; drawn at random, begins with 1 of 4 epochs/);
});
