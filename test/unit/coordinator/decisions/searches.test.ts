// Sweeps whose strategies learn, in the core: rungs, the order in which results count, and what is journalled.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sentenceOf } from '../../../../coordinator/journal/why.ts';
import { outlineOf } from '../../../../coordinator/model/outline.ts';
import { allNumbers } from '../../../../coordinator/model/roll.ts';
import { encodeState } from '../../../../coordinator/model/snapshot.ts';
import { decodeState } from '../../../../coordinator/model/snapshot-decoder.ts';
import { specOf } from '../../../../coordinator/model/spec-of.ts';
import { runOf, runWith, type State, sweepOf, trialOf } from '../../../../coordinator/model/state.ts';
import { heldOfRun } from '../../../../coordinator/store/held.ts';
import { amountOf } from '../../../../coordinator/strategies/fidelity.ts';
import { randomStream } from '../../../../core/rng.ts';
import type { RunSpec } from '../../../../core/spec/run.ts';
import { sweep, training } from '../../../sim/specs.ts';
import { FACTS } from '../../../sim/world.ts';
import { folded, plainOf, wholeRuns } from '../../../support/state.ts';
import { core, HELLO } from './core.ts';

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
  const space = strategy.fidelity === 'width' ? { space: { channels: 8, layers: 4, embedding: 16 } } : {};
  const spec = sweep({ strategy, evaluation, parallelism: workers, ...space });
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
    assert.equal(used.epochs, 4, 'a rung is a stage of the full schedule');
    const next = (run.checkpoints.at(-1)?.stage ?? 0) + 1;
    if (run.evaluateStages === undefined || next > used.epochs)
      fleet.finish(id, accuracyOf(trial.number, run.haltStage ?? used.epochs));
    else {
      const isJudged = run.evaluateStages.includes(next);
      fleet.checkpoint(id, next, isJudged ? accuracyOf(trial.number, next) : undefined);
    }
  }
  const found = sweepOf(fleet.state, 'sweep-1');
  const trials = [...allNumbers(found.trialIds)].map((number) => trialOf(fleet.state, `trial-${number}`));
  return { fleet, sweep: found, trials, seeds };
}

const HALVING = { kind: 'asha', trials: 12, eta: 2, lag: 4 };
/** Trials go on while they are judged. */
const PASSING = { ...HALVING, mode: 'stop', atRungs: 'go-on' };

test('a trial halts at its rung with its result, and one that goes on does so as the same run, from its checkpoint', () => {
  const { trials, sweep: found, seeds, fleet } = searched(HALVING, 2);
  const epochs = trials.map(({ rungs = [] }) => rungs.map(({ fidelity }) => fidelity.epochs));
  assert.ok(epochs.every(([first]) => first === 1));
  const full = trials.filter(({ fidelity }) => fidelity === undefined);
  assert.ok(full.length >= 1 && full.length <= 6, `${full.length} of 12 get all epochs`);
  for (const { rungs = [] } of full) assert.equal(rungs.length, 2);
  assert.ok([...seeds.values()].every((used) => used.size === 1));
  assert.ok(trials.every(({ runIds }) => runIds.length === 1));
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
    PASSING,
    { ...HALVING, fidelity: 'images' },
    { ...HALVING, kind: 'hyperband' },
    { kind: 'evolution', trials: 14, population: 6, sample: 3, lag: 4 },
    { kind: 'tpe', trials: 14, startup: 6, lag: 4 },
  ]) {
    const moves = ({ trials }: ReturnType<typeof searched>) =>
      trials.map(({ genotypeKey, rungs, objectives, fidelity = { epochs: 4 } }) => ({
        ...{ genotypeKey, objectives, fidelity },
        // How far one had come beyond its rung when it was judged depends on the time.
        rungs: rungs?.map((rung) => amountOf(rung.fidelity)).filter((rung) => rung <= amountOf(fidelity)),
      }));
    const alone = searched(strategy, 1);
    const random = randomStream({ seed: 5, purpose: 'order' });
    const many = searched(strategy, 4, (count) => random.integer(count));
    assert.deepEqual(moves(many), moves(alone), strategy.kind);
  }
});

test('a part of the images or of the channels is a run of its own, of the same seed, and why says that it begins anew', () => {
  for (const kind of ['asha', 'hyperband'])
    for (const fidelity of ['images', 'width'] as const) {
      const { fleet, trials, seeds } = searched({ ...HALVING, kind, fidelity, fractionMin: 0.5 }, 2);
      const all = { images: (run: RunSpec) => run.training.fraction ?? 1, width: widthOf }[fidelity];
      const parts = trials.map(({ runIds }) =>
        runIds.map((id) => all(specOf(fleet.state, shownRun(fleet.state, id)))),
      );
      const full = { images: 1, width: 8 }[fidelity];
      const lower = full / 2;
      assert.ok(
        parts.every((own) => own.length <= 2 && own.every((part) => part === lower || part === full)),
      );
      assert.ok(
        parts.some((own) => own.length === 2 && own[0] === lower && own[1] === full),
        String(parts),
      );
      assert.ok(
        parts.some((own) => own.length === 1 && own[0] === lower),
        String(parts),
      );
      assert.ok([...seeds.values()].every((used) => used.size === 1));
      const said = fleet.events.flatMap((event) => (event.kind === 'trial.attempted' ? [event.reason] : []));
      const how = fidelity === 'images' ? 'on all of the images' : 'at all of the width';
      assert.ok(
        said.some((text) => text.includes(`begins anew ${how}, which is another training`)),
        String(said),
      );
      const [first] = trials;
      assert.match(first!.rungs![0]!.runId, /^run-/);
      const run = fleet.events.find((event) => event.kind === 'trial.ended');
      assert.match(
        run?.reason ?? '',
        fidelity === 'images' ? / on 0.5 of the images/ : / at 0.5 of the width/,
      );
    }
});

const widthOf = ({ network }: RunSpec): number => ('channels' in network ? network.channels : 0);
/** A run with what is known of it after its end. */
const shownRun = (state: State, id: string) => {
  const run = runWith(state, id)!;
  return 'job' in run ? run : outlineOf(state, run);
};

test('a run that is verified on its way goes on while its trial is judged, and a search that has it halt makes the same moves', () => {
  const halted = searched({ ...PASSING, atRungs: 'halt' }, 3);
  const passed = searched(PASSING, 3);
  const results = ({ trials }: ReturnType<typeof searched>) =>
    trials.map(({ genotypeKey, objectives, isStopped }) => ({ genotypeKey, objectives, isStopped }));
  assert.deepEqual(results(passed), results(halted));
  const { events, state } = passed.fleet;
  assert.ok(events.every(({ kind }) => kind !== 'run.halted' && kind !== 'run.continued'));
  assert.ok(passed.trials.every(({ runIds }) => runIds.length === 1));
  const stopped = passed.trials.filter(({ isStopped }) => isStopped);
  assert.ok(
    stopped.length > 0 && stopped.length < passed.trials.length,
    `${stopped.length} of 12 are stopped`,
  );
  for (const { runIds, reason } of stopped) {
    const { state: ended, reason: why } = runWith(state, runIds[0]!)!;
    // One that was at its end before it was judged is done.
    if (ended !== 'done') assert.deepEqual([ended, why.includes(reason)], ['cancelled', true]);
  }
  assert.deepEqual(
    wholeRuns(state).filter((run) => run.gang.length > 0),
    [],
  );
  assert.equal(sweepOf(state, 'sweep-1').openTrials.size, 0);
});

test('the stages that an assignment names are those that are not reported; the end of a sweep ends what is being judged', () => {
  const fleet = halving(3, { mode: 'stop', atRungs: 'go-on', lag: 6 });
  const { effects } = fleet.give({ kind: 'attached', hello: { ...HELLO, workerId: 'w1', leases: [] } });
  const named = (from: typeof effects) =>
    from.flatMap((effect) =>
      effect.kind === 'send' && effect.command.kind === 'assign' ? [effect.command.evaluateStages] : [],
    );
  assert.deepEqual(named(effects), [[1, 2]]);
  fleet.checkpoint('run-1', 1, 0.6);
  assert.match(
    trialOf(fleet.state, 'trial-1').reason,
    /^accuracy 0\.6000 after 1 of 4 epochs; its run goes on while/,
  );
  assert.deepEqual(heldOfRun(fleet.state, 'run-1').of(1), 'all');
  const again = fleet.give({ kind: 'attached', hello: { ...HELLO, workerId: 'w1', leases: [] } });
  assert.deepEqual(named(again.effects), [[2]]);
  // A result that no assignment has asked for is not taken.
  fleet.checkpoint('run-1', 3, 0.9);
  assert.deepEqual(trialOf(fleet.state, 'trial-1').rungs?.length, 1);
  fleet.give({ kind: 'pause', id: 'sweep-1', reason: '' });
  assert.equal(runOf(fleet.state, 'run-1').state, 'pausing');
  fleet.give({ kind: 'cancel', id: 'sweep-1', reason: 'enough' });
  assert.deepEqual(
    wholeRuns(fleet.state).map((run) => run.state),
    ['cancelled', 'cancelled'],
  );
});

test('a search is a fold of its journal and goes through a snapshot', () => {
  for (const strategy of [
    HALVING,
    { ...HALVING, mode: 'stop' },
    PASSING,
    { ...HALVING, kind: 'hyperband' },
  ]) {
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

/** A sweep of so many trials with rungs at 1, 2 and 4 epochs, one trial at a time. */
function halving(trials: number, strategy: Record<string, unknown> = {}) {
  const fleet = core(1);
  const evaluation = { training: { ...training, epochs: 4 } };
  const spec = sweep({ strategy: { ...HALVING, trials, lag: 1, ...strategy }, evaluation, parallelism: 1 });
  fleet.submit({ kind: 'sweep', spec, facts: FACTS });
  return fleet;
}

test('the checkpoint of a run that has halted goes when its trial is stopped', () => {
  const fleet = halving(3, { mode: 'stop' });
  const held = (id: string, stage: number) => heldOfRun(fleet.state, id).of(stage);
  fleet.finish('run-1', 0.5);
  // It is alone, goes on to stage 2, and then all the way.
  assert.deepEqual(
    runOf(fleet.state, 'run-1').checkpoints.map(({ stage }) => stage),
    [1],
  );
  fleet.finish('run-1', 0.6);
  fleet.finish('run-1', 0.7);
  assert.equal(runOf(fleet.state, 'run-2').haltStage, 1);
  fleet.finish('run-2', 0.4);
  assert.equal(trialOf(fleet.state, 'trial-2').isStopped, true);
  assert.equal(held('run-2', 1), 'nothing');
  assert.ok(fleet.events.some((event) => event.kind === 'stage.dropped' && event.runId === 'run-2'));
});

test('a run that has halted keeps its checkpoint while its sweep runs, and only the best keeps one after', () => {
  const fleet = halving(4);
  const held = (id: string, stage: number) => heldOfRun(fleet.state, id).of(stage);
  fleet.finish('run-1', 0.5);
  assert.equal(held('run-1', 1), 'all');
  assert.throws(() => fleet.give({ kind: 'drop', runId: 'run-1', reason: '' }), {
    message: 'run-1 may go on from its stage 1 while sweep-1 runs; its checkpoints go with the end of that',
  });
  for (let left = 20; fleet.running().length > 0 && left > 0; left--) fleet.finish(fleet.running()[0]!, 0.5);
  const { state, bestTrialId } = sweepOf(fleet.state, 'sweep-1');
  assert.deepEqual([state, bestTrialId], ['done', 'trial-1']);
  assert.deepEqual([held('run-1', 4), held('run-3', 1), held('run-4', 1)], ['all', 'nothing', 'nothing']);
});

test('a trial whose checkpoint is gone is promoted by another run from the same seed, which says so', () => {
  const fleet = halving(2);
  // Nothing was stored.
  fleet.halt('run-1', 1, 0.5);
  fleet.finish('run-2', 0.4);
  const again = runOf(fleet.state, 'run-3');
  assert.deepEqual([again.trialId, again.attempt, again.haltStage], ['trial-1', 1, 2]);
  // That of the sweep: the same attempt has the same seed.
  assert.equal(specOf(fleet.state, again).training.seed, 1);
  const said = fleet.events.map((event) => sentenceOf(event, fleet.state));
  assert.ok(
    said.some((text) => /goes on to 2; no checkpoint of run-1 is stored, so all epochs are/.test(text)),
  );
});
