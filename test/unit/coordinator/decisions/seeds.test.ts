// A sweep over seeds in the core: what its searches are, how their cells become candidates, and how it ends.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sentenceOf } from '../../../../coordinator/journal/why.ts';
import { allNumbers } from '../../../../coordinator/model/roll.ts';
import { encodeState } from '../../../../coordinator/model/snapshot.ts';
import { decodeState } from '../../../../coordinator/model/snapshot-decoder.ts';
import {
  planOf,
  runOf,
  type State,
  sweepOf,
  trialOf,
  wholeRunWith,
} from '../../../../coordinator/model/state.ts';
import { GENOTYPES } from '../../../../core/nn/genotype.ts';
import { codeOf, genotypeKey, keyOfCode } from '../../../../core/nn/genotype-code.ts';
import { randomStream } from '../../../../core/rng.ts';
import { documentOf, documentSchema } from '../../../../core/spec/document.ts';
import { type Genotype, OPS } from '../../../../core/spec/network.ts';
import { planSchema } from '../../../../core/spec/plan.ts';
import { searchOfSeed, withSeeds } from '../../../../core/spec/seed-searches.ts';
import { plan, sweep, training } from '../../../sim/specs.ts';
import { FACTS } from '../../../sim/world.ts';
import { folded, plainOf } from '../../../support/state.ts';
import { core } from './core.ts';

const SEEDS = [11, 12, 13];
const EPOCHS = 2;
const STRATEGY = {
  ...{ kind: 'darts', seeds: SEEDS, supernet: { channels: 4, layers: 4 } },
  search: { epochs: EPOCHS, batch: 16, shards: 2 },
};
const FACTS_OF_SET = { ...FACTS, digest: 'cd'.repeat(32) };

const spec = (more: Record<string, unknown> = {}, strategy: object = {}) =>
  sweep({ strategy: { ...STRATEGY, ...strategy }, evaluation: { training }, ...more });

/** Cells that only this seed finds. */
function cellsOf(seed: number): string {
  const ops = OPS.filter((op) => op !== 'none');
  const [[, first], ...rest] = GENOTYPES.casia.normal[0]! as unknown as [[string, number], [string, number]];
  const normal = [[[ops[seed % ops.length], first], ...rest], ...GENOTYPES.casia.normal.slice(1)];
  return keyOfCode(codeOf({ ...GENOTYPES.casia, normal } as typeof GENOTYPES.casia));
}

const seedOf = (state: State, runId: string): number | undefined => {
  const run = runOf(state, runId);
  return run.job.kind === 'search' ? run.job.training.seed : undefined;
};

type Fleet = ReturnType<typeof core>;

/** A search stores its epochs and ends. */
function find(fleet: Fleet, id: string, cells: string): void {
  for (let stage = 1; stage <= EPOCHS; stage++)
    fleet.report(id, {
      ...{ kind: 'checkpointStored', stage, step: 2 * stage, bytes: 1, digest: `d${stage}` },
      ...{ weightsDigest: `w${stage}`, search: { genotype: cells, trainingLoss: 1 } },
    });
  fleet.report(id, { kind: 'finished', step: 2 * EPOCHS, weightsDigest: `of ${cells}` });
}

/** Runs whatever runs to the end of the sweep; `next` chooses which ends next. */
function searched(
  workers: number,
  next: (count: number) => number = () => 0,
  cells: (seed: number) => string = cellsOf,
  more: Record<string, unknown> = {},
) {
  const fleet = core(workers, { code: 'c' });
  fleet.submit({ kind: 'sweep', spec: spec(more), facts: FACTS_OF_SET });
  for (let left = 50; sweepOf(fleet.state, 'sweep-1').state === 'running'; left--) {
    assert.ok(left > 0, 'the sweep goes on for ever');
    const running = fleet.running();
    const id = running[next(running.length)]!;
    const seed = seedOf(fleet.state, id);
    if (seed !== undefined) find(fleet, id, cells(seed));
    else
      fleet.finish(id, 0.5 + trialOf(fleet.state, runOf(fleet.state, id).trialId!).number / 100, `of ${id}`);
  }
  return { fleet, ...resultOf(fleet) };
}

function resultOf({ state }: Fleet) {
  const ended = sweepOf(state, 'sweep-1');
  const trials = [...allNumbers(ended.trialIds)].map((number) => trialOf(state, `trial-${number}`));
  return { ended, trials };
}

test('each seed is the search that a document of that seed is, and its cells are a candidate of the sweep', () => {
  const { fleet, ended, trials } = searched(2);
  assert.equal(ended.state, 'done');
  assert.deepEqual(
    trials.map(({ seed }) => seed),
    SEEDS,
  );
  for (const { seed, searchRunIds, runIds, costs, genotypeKey } of trials) {
    const run = runOf(fleet.state, searchRunIds![0]!);
    const alone = documentOf(
      documentSchema.parse({
        ...{ kind: 'search', name: `search-seed-${seed}`, data: run.job.data },
        ...{ supernet: STRATEGY.supernet, search: { ...STRATEGY.search, seed } },
      }),
    );
    assert.deepEqual(run.job, alone);
    assert.deepEqual([run.sweepId, runIds.length], ['sweep-1', 1]);
    assert.ok(costs.parameters > 0 && genotypeKey !== '');
  }
  assert.equal(ended.bestTrialId, trials.at(-1)!.id);
  assert.equal(ended.allRunIds.size, 2 * SEEDS.length);
});

test('the same cells and winner for other workers and in another order of ending', () => {
  const outcome = ({ trials, ended }: ReturnType<typeof searched>) => [
    trials.map(({ seed, genotypeKey, objectives }) => ({ seed, genotypeKey, objectives })),
    ended.reason,
  ];
  const random = randomStream({ seed: 5, purpose: 'order' });
  const one = outcome(searched(1));
  for (const workers of [2, 3, 5])
    assert.deepEqual(outcome(searched(workers, (count) => random.integer(count))), one);
});

test('a trial is trained while the searches of others go on', () => {
  const fleet = core(2);
  fleet.submit({ kind: 'sweep', spec: spec(), facts: FACTS_OF_SET });
  const [first] = fleet.running();
  find(fleet, first!, cellsOf(11));
  assert.deepEqual(
    fleet.running().map((id) => runOf(fleet.state, id).job.kind),
    ['search', 'candidate'],
  );
});

test('two seeds that find the same cells are one training', () => {
  const { ended, trials, fleet } = searched(
    1,
    () => 0,
    () => cellsOf(1),
  );
  assert.equal(ended.trialsDone, SEEDS.length);
  assert.equal(new Set(trials.map(({ genotypeKey }) => genotypeKey)).size, 1);
  const reused = fleet.events.filter(({ kind }) => kind === 'run.reused');
  assert.equal(reused.length, SEEDS.length - 1);
});

test('a search that fails or is cancelled ends its own trial with that reason, and the others go on', () => {
  const fleet = core(3);
  fleet.submit({ kind: 'sweep', spec: spec(), facts: FACTS_OF_SET });
  const [a, b, c] = fleet.running();
  fleet.fail(a!, 'numeric', 'loss is not finite');
  fleet.give({ kind: 'cancel', id: b!, reason: 'not needed' });
  assert.match(trialOf(fleet.state, 'trial-1').reason, /^its search run-1 failed: .*loss is not finite/);
  assert.equal(trialOf(fleet.state, 'trial-2').state, 'cancelled');
  find(fleet, c!, cellsOf(13));
  fleet.finish(fleet.running()[0]!, 0.7);
  assert.equal(sweepOf(fleet.state, 'sweep-1').state, 'done');
  assert.equal(sweepOf(fleet.state, 'sweep-1').bestTrialId, 'trial-3');
});

test('a sweep whose searches all fail fails with a sentence', () => {
  const fleet = core(3);
  fleet.submit({ kind: 'sweep', spec: spec(), facts: FACTS_OF_SET });
  for (const id of fleet.running()) fleet.fail(id, 'numeric', 'loss is not finite');
  const { state, reason } = sweepOf(fleet.state, 'sweep-1');
  assert.equal(state, 'failed');
  assert.match(reason, /^none of 3 trials finished: trial-3 failed: its search run-3 failed: .*not finite/);
});

test('pause, resume, priority and cancel of the sweep and of a trial reach the searches', () => {
  const fleet = core(3);
  fleet.submit({ kind: 'sweep', spec: spec(), facts: FACTS_OF_SET });
  const [first, ...others] = fleet.running();
  fleet.give({ kind: 'prioritise', id: 'sweep-1', priority: 70, reason: '' });
  assert.equal(runOf(fleet.state, first!).priority, 70);
  fleet.give({ kind: 'pause', id: 'trial-1', reason: '' });
  assert.equal(runOf(fleet.state, first!).state, 'pausing');
  fleet.give({ kind: 'pause', id: 'sweep-1', reason: '' });
  for (const id of others) assert.equal(runOf(fleet.state, id).state, 'pausing');
  fleet.give({ kind: 'cancel', id: 'sweep-1', reason: 'enough' });
  for (const id of [first!, ...others]) assert.equal(runOf(fleet.state, id).state, 'cancelled');
});

test('what is resumed goes on with the search that had failed', () => {
  const fleet = core(3);
  fleet.submit({ kind: 'sweep', spec: spec(), facts: FACTS_OF_SET });
  const running = fleet.running();
  for (const id of running) fleet.fail(id, 'user', 'no such file');
  assert.equal(sweepOf(fleet.state, 'sweep-1').state, 'failed');
  fleet.resume('sweep-1');
  assert.deepEqual(fleet.running(), running, 'no other search is begun');
  for (const id of running) find(fleet, id, cellsOf(seedOf(fleet.state, id)!));
  for (const id of fleet.running()) fleet.finish(id, 0.5);
  assert.equal(sweepOf(fleet.state, 'sweep-1').state, 'done');
});

test('searches count for the budget of the sweep, and a search cannot leave the lists without it', () => {
  const fleet = core(1);
  const more = { budget: { workerSeconds: 3600 } };
  fleet.submit({ kind: 'sweep', spec: spec(more), facts: FACTS_OF_SET });
  find(fleet, fleet.running()[0]!, cellsOf(11));
  assert.ok(sweepOf(fleet.state, 'sweep-1').spent!.workerMs > 0);
  assert.throws(
    () => fleet.give({ kind: 'remove', id: 'run-1', reason: '' }),
    /run-1 belongs to sweep-1; remove that/,
  );
});

test('the journal gives the same state, and a snapshot at any place in it goes on', () => {
  const { fleet } = searched(2);
  for (let length = 1; length <= fleet.events.length; length++) {
    const middle = folded(fleet.events.slice(0, length));
    const parts = JSON.parse(JSON.stringify([...encodeState(middle)]));
    assert.deepEqual(plainOf(decodeState(parts)), plainOf(middle), `after ${length} events`);
  }
  assert.deepEqual(plainOf(folded(fleet.events)), plainOf(fleet.state));
});

test('why names the seed, the search and what it cost, and a removed sweep leaves nothing', () => {
  const { fleet } = searched(2);
  const text = fleet.events.map((event) => sentenceOf(event, fleet.state)).join('\n');
  assert.match(text, /submitted: 3 trials by darts search/);
  assert.match(text, /trial-1 is trial 1 of sweep-1: the cells that a search from seed 11 finds/);
  assert.match(text, /trial-1 has its cells: cells of run-1@2, from seed 11; \d+ parameters/);
  fleet.give({ kind: 'remove', id: 'sweep-1', reason: '' });
  assert.equal(wholeRunWith(fleet.state, 'run-1'), undefined);
  assert.equal(fleet.state.openRuns.size, 0);
});

test('the search of a seed has the terms of its sweep', () => {
  const more = { priority: 60, require: { labels: { gpu: 'a' } }, budget: { trial: { workerSeconds: 5 } } };
  const run = searchOfSeed(withSeeds(spec(more))!, 12);
  assert.deepEqual(
    [run.name, run.priority, run.require, run.budget],
    [...['search-seed-12', 60], ...[more.require, more.budget.trial]],
  );
});

test('the best of the seeds is the network of a plan, whose search may be such a sweep', () => {
  const fleet = core(3);
  const of = plan();
  const { kind: _kind, name: _name, data: _data, ...search } = spec();
  const planned = { ...of, search, teacher: undefined, students: [of.students[0]!] };
  fleet.submit({ kind: 'plan', spec: planSchema.parse(planned), facts: FACTS_OF_SET, yaml: '' });
  const searches = fleet.running();
  assert.deepEqual(
    searches.map((id) => [runOf(fleet.state, id).planId, runOf(fleet.state, id).sweepId]),
    SEEDS.map(() => ['plan-1', 'sweep-1']),
  );
  for (const id of searches) find(fleet, id, cellsOf(seedOf(fleet.state, id)!));
  for (const id of fleet.running())
    fleet.finish(id, trialOf(fleet.state, runOf(fleet.state, id).trialId!).number === 2 ? 0.9 : 0.6);
  const [student] = planOf(fleet.state, 'plan-1').studentRunIds;
  const { network } = runOf(fleet.state, student!).job;
  assert.ok(network?.kind === 'pocketnet');
  const { genotypeKey: found } = trialOf(fleet.state, 'trial-2');
  assert.equal(genotypeKey(network.genotype as Genotype), found);
});

test('no further search is begun when the attempts of the budget are spent', () => {
  const fleet = core(1);
  fleet.submit({ kind: 'sweep', spec: spec({ budget: { attempts: 2 } }), facts: FACTS_OF_SET });
  find(fleet, fleet.running()[0]!, cellsOf(11));
  fleet.finish(fleet.running()[0]!, 0.7);
  const { state, reason, allRunIds } = sweepOf(fleet.state, 'sweep-1');
  assert.deepEqual([state, allRunIds.size], ['done', 2]);
  assert.match(reason, /^budget of 2 attempts spent: 1 of 3 trials done/);
});

test('a search that loses its worker goes on with another, as the same run of its trial', () => {
  const fleet = core(2);
  fleet.submit({ kind: 'sweep', spec: spec({ parallelism: 1 }), facts: FACTS_OF_SET });
  const [id] = fleet.running();
  const { workerId } = runOf(fleet.state, id!).gang[0]!;
  fleet.give({ kind: 'lost', workerId, incarnation: 'i', cause: 'silent', reason: 'by test' });
  assert.notEqual(runOf(fleet.state, id!).gang[0]?.workerId, workerId);
  assert.deepEqual(trialOf(fleet.state, 'trial-1').searchRunIds, [id]);
});

test('a search that infrastructure has failed too often goes on from its checkpoint, and begins again without one', () => {
  const fleet = core(1);
  const failTooOften = (id: string) => {
    while (runOf(fleet.state, id).infrastructureFailures < 9) {
      while (runOf(fleet.state, id).state === 'queued') fleet.give({ kind: 'tick' });
      fleet.fail(id, 'infrastructure', 'no mount');
    }
    while (runOf(fleet.state, id).state === 'queued') fleet.give({ kind: 'tick' });
    fleet.fail(id, 'infrastructure', 'no mount');
  };
  fleet.submit({ kind: 'sweep', spec: spec({ parallelism: 1, attemptsMax: 3 }), facts: FACTS_OF_SET });
  const trial = () => trialOf(fleet.state, 'trial-1');
  failTooOften('run-1');
  assert.deepEqual(trial().searchRunIds, ['run-1', 'run-2'], 'nothing was stored');
  assert.match(trial().reason, /^search from seed 11, attempt 2 of 3, after: .*no mount/);
  while (runOf(fleet.state, 'run-2').state === 'queued') fleet.give({ kind: 'tick' });
  fleet.checkpoint('run-2', 1);
  failTooOften('run-2');
  const again = runOf(fleet.state, 'run-2');
  assert.deepEqual(trial().searchRunIds, ['run-1', 'run-2']);
  assert.deepEqual([again.attempt, again.checkpoints.at(-1)?.stage], [3, 1]);
  assert.match(trial().reason, /^from step 4, attempt 3 of 3, after: .*no mount/);
  const continued = fleet.events.findLast(({ kind }) => kind === 'run.continued')!;
  assert.match(
    sentenceOf(continued, fleet.state),
    /^run-2 goes on to its end: from step 4, attempt 3 of 3, after: .*no mount/,
  );
  failTooOften('run-2');
  assert.match(trial().reason, /^its search run-2 failed: .*no mount.* \(attempt 3 of 3\)$/);
  assert.deepEqual(plainOf(folded(fleet.events)), plainOf(fleet.state));
});

test('with several objectives the trainings of what was found are measured for each, and a front is kept of them', () => {
  const fleet = core(1);
  const objectives = [{ name: 'accuracy' }, { name: 'latency', direction: 'minimise' }];
  fleet.submit({ kind: 'sweep', spec: spec({ objectives }), facts: FACTS_OF_SET });
  // By seed: the best, one that is worse in both, and the fastest.
  const measured: Readonly<Record<number, readonly [accuracy: number, milliseconds: number]>> = {
    11: [0.9, 20],
    12: [0.8, 30],
    13: [0.7, 10],
  };
  while (sweepOf(fleet.state, 'sweep-1').state === 'running') {
    const id = fleet.running()[0]!;
    const seed = seedOf(fleet.state, id);
    if (seed !== undefined) {
      find(fleet, id, cellsOf(seed));
      continue;
    }
    const { verification } = runOf(fleet.state, id).job as { readonly verification: { latency?: boolean } };
    assert.equal(verification.latency, true, 'it is asked for the latency');
    const [accuracy, milliseconds] = measured[trialOf(fleet.state, runOf(fleet.state, id).trialId!).seed!]!;
    fleet.finish(id, accuracy, `of ${id}`, { latency: { milliseconds, deviceClass: 'cpu' } });
  }
  const { ended, trials } = resultOf(fleet);
  assert.deepEqual(
    trials.map(({ objectives: of }) => of),
    SEEDS.map((seed) => ({ accuracy: measured[seed]![0], latency: measured[seed]![1] })),
  );
  assert.deepEqual([ended.bestTrialId, ended.frontTrialIds], ['trial-1', ['trial-1', 'trial-3']]);
});
