// Screening in the core: groups, scores in any order and from any number of workers, and what is journalled.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { scoringText } from '../../../../coordinator/api/search-progress.ts';
import { sentenceOf } from '../../../../coordinator/journal/why.ts';
import { allNumbers } from '../../../../coordinator/model/roll.ts';
import { encodeState } from '../../../../coordinator/model/snapshot.ts';
import { decodeState } from '../../../../coordinator/model/snapshot-decoder.ts';
import { runOf, sweepOf, trialOf } from '../../../../coordinator/model/state.ts';
import type { ScoredCandidate } from '../../../../coordinator/strategies/screening.ts';
import { randomStream } from '../../../../core/rng.ts';
import { sweep, training } from '../../../sim/specs.ts';
import { FACTS } from '../../../sim/world.ts';
import { folded, plainOf } from '../../../support/state.ts';
import { core } from './core.ts';

/** A score that follows from the candidate alone. */
const scoreOf = (key: string) => randomStream({ seed: 1, purpose: key }).uniform();

type Fleet = ReturnType<typeof core>;

/** Scores of the open group, as many as `count` says each time, in an order that `random` gives. */
function scoreAll(fleet: Fleet, random: (count: number) => number, failed: (key: string) => boolean) {
  for (;;) {
    const group = sweepOf(fleet.state, 'sweep-1').screening?.group;
    const missing = (group?.candidates ?? []).flatMap(({ scored }, place) =>
      scored === undefined ? [place] : [],
    );
    if (group === undefined || missing.length === 0) return;
    const some = missing.splice(random(missing.length), 1 + random(missing.length));
    const scores = some.map((place): ScoredCandidate => {
      const { genotype } = group.candidates[place]!;
      if (failed(genotype)) return { place, scores: [], reason: 'the weights are not finite' };
      const value = scoreOf(genotype);
      return {
        place,
        scores: [
          { name: 'synflow', value },
          { name: 'zen', value: 2 * value },
        ],
      };
    });
    fleet.give({ kind: 'scored', sweepId: 'sweep-1', group: group.number, workerId: 'w1', scores });
  }
}

function searched(
  strategy: Record<string, unknown>,
  {
    workers = 1,
    seed = 1,
    failed = (_key: string): boolean => false,
    more = {},
    accuracyOf = (_trial: number): number => 0.5,
  } = {},
) {
  const fleet = core(workers);
  const random = randomStream({ seed, purpose: 'order' });
  const screening = { score: ['synflow', 'zen'], keep: 0.25, of: 8 };
  const spec = sweep({ strategy, screening, parallelism: workers, ...more });
  fleet.submit({ kind: 'sweep', spec, facts: FACTS });
  for (let left = 500; sweepOf(fleet.state, 'sweep-1').state === 'running'; left--) {
    assert.ok(left > 0, 'the sweep goes on for ever');
    scoreAll(fleet, (count) => random.integer(count), failed);
    const running = fleet.running();
    if (running.length === 0) continue;
    const id = running[random.integer(running.length)]!;
    const { number } = trialOf(fleet.state, runOf(fleet.state, id).trialId!);
    fleet.finish(id, accuracyOf(number));
  }
  const found = sweepOf(fleet.state, 'sweep-1');
  const trials = [...allNumbers(found.trialIds)].map((number) => trialOf(fleet.state, `trial-${number}`));
  return { fleet, sweep: found, trials };
}

const EVOLUTION = { kind: 'evolution', trials: 7, population: 4, sample: 2, lag: 3 };

test('of each group the best are evaluated, in the order of draws, whoever scores them and in any order', () => {
  for (const strategy of [{ kind: 'random', trials: 7 }, EVOLUTION, { ...EVOLUTION, kind: 'tpe' }]) {
    const { population, sample, ...tpe } = { ...strategy, startup: 4 } as Record<string, unknown>;
    const used = strategy.kind === 'tpe' ? tpe : strategy;
    const plain = searched(used);
    const drawn = plain.fleet.events.flatMap((event) =>
      event.kind === 'candidates.drawn' ? event.candidates : [],
    );
    assert.equal(drawn.length, 32);
    assert.equal(new Set(drawn.map(({ genotype }) => genotype)).size, 32, 'no candidate is scored twice');
    const wanted = [0, 8, 16, 24].flatMap((from) => {
      const group = drawn.slice(from, from + 8).map(({ genotype }) => genotype);
      const best = [...group].sort((a, b) => scoreOf(b) - scoreOf(a)).slice(0, 2);
      return group.filter((key) => best.includes(key));
    });
    assert.deepEqual(
      plain.trials.map(({ genotypeKey }) => genotypeKey),
      wanted.slice(0, 7),
    );
    const many = searched(used, { workers: 3, seed: 5 });
    const keysOf = ({ trials }: typeof plain) => trials.map(({ genotypeKey }) => genotypeKey);
    assert.deepEqual(keysOf(many), keysOf(plain), strategy.kind);
  }
});

test('with rungs the best of each group begin, and each move is that of the search without screening', () => {
  const evaluation = { training: { ...training, epochs: 4 } };
  const accuracyOf = (trial: number) => ((trial * 37) % 101) / 100;
  for (const strategy of [
    { kind: 'asha', trials: 9, eta: 2, lag: 3 },
    { kind: 'asha', trials: 9, eta: 2, lag: 3, mode: 'stop' },
    { kind: 'hyperband', trials: 9, eta: 2, lag: 3 },
  ]) {
    const movesOf = ({ fleet }: ReturnType<typeof searched>) =>
      fleet.events.flatMap((event) => {
        if (event.kind === 'trial.proposed') return [`${event.number} begins: ${event.fidelity?.epochs}`];
        if (event.kind === 'trial.promoted') return [`${event.trialId} goes on: ${event.fidelity?.epochs}`];
        return event.kind === 'trial.stopped' ? [`${event.trialId} stops`] : [];
      });
    const screened = searched(strategy, { more: { evaluation }, accuracyOf });
    const plain = searched(strategy, { more: { evaluation, screening: undefined }, accuracyOf });
    const name = JSON.stringify(strategy);
    assert.deepEqual(movesOf(screened), movesOf(plain), name);
    assert.ok(movesOf(plain).length > 9, name);
    const drawn = screened.fleet.events.flatMap((event) =>
      event.kind === 'candidates.drawn' ? event.candidates.map(({ genotype }) => genotype) : [],
    );
    const begun = screened.trials.map(({ genotypeKey }) => genotypeKey);
    const best = [0, 8, 16, 24, 32].flatMap((from) => {
      const group = drawn.slice(from, from + 8);
      return group.filter((key) => group.filter((one) => scoreOf(one) > scoreOf(key)).length < 2);
    });
    assert.deepEqual(begun, best.slice(0, 9), name);
    const many = searched(strategy, { workers: 3, seed: 5, more: { evaluation }, accuracyOf });
    assert.deepEqual(movesOf(many), movesOf(screened), name);
    assert.deepEqual(plainOf(folded(many.fleet.events)), plainOf(many.fleet.state), name);
  }
});

test('a screening is a fold of its journal, goes through a snapshot at any point, and why has score, rank and cut', () => {
  const { fleet, sweep: found } = searched(EVOLUTION);
  const events = JSON.parse(JSON.stringify(fleet.events)) as typeof fleet.events;
  assert.deepEqual(plainOf(folded(events)), plainOf(fleet.state));
  for (let count = 1; count < events.length; count += 5) {
    const state = folded(events.slice(0, count));
    const stored = decodeState(JSON.parse(JSON.stringify([...encodeState(state)])));
    assert.deepEqual(plainOf(folded(events.slice(count), stored)), plainOf(fleet.state), `after ${count}`);
  }
  assert.deepEqual([found.screening?.drawn, found.screening?.cut], [32, 24]);
  const sentences = fleet.events.map((event) => sentenceOf(event, fleet.state));
  const says = (pattern: RegExp) =>
    assert.ok(
      sentences.some((one) => pattern.test(one)),
      String(pattern),
    );
  says(/^8 candidates of sweep-1 were drawn to be scored, the last of their group$/);
  says(/^\d candidates? of group 2 of sweep-1 (was|were) scored by w1$/);
  says(
    /^trial-2 is trial 2 of .*; synflow 0\.\d+, zen \d\.\d+: rank [12] of the 8 of group 1, of which 2 are eval/,
  );
});

test('a candidate that cannot be scored is behind all that can, and stale scores change nothing', () => {
  const { trials } = searched({ trials: 4 }, { failed: (key) => scoreOf(key) > 0.5 });
  for (const { screened } of trials) assert.equal(screened?.scores.length, 2);
  const all = searched({ trials: 4 }, { failed: () => true });
  assert.equal(all.trials.length, 4);
  assert.ok(all.trials.every(({ screened }) => screened?.reason === 'the weights are not finite'));

  const fleet = core(1);
  const spec = sweep({ strategy: { trials: 4 }, screening: { score: 'synflow', of: 4 } });
  fleet.submit({ kind: 'sweep', spec, facts: FACTS });
  assert.match(
    scoringText(sweepOf(fleet.state, 'sweep-1')) ?? '',
    /^scores group 1: 0 of 4 candidates have theirs/,
  );
  const before = fleet.events.length;
  const scores = [{ place: 0, scores: [] }];
  fleet.give({ kind: 'scored', sweepId: 'sweep-1', group: 2, workerId: 'w1', scores });
  fleet.give({ kind: 'scored', sweepId: 'sweep-9', group: 1, workerId: 'w1', scores });
  fleet.give({
    kind: 'scored',
    sweepId: 'sweep-1',
    group: 1,
    workerId: 'w1',
    scores: [{ place: 4, scores: [] }],
  });
  assert.equal(fleet.events.length, before);
});

test('a search that finds no more candidates ends with those it has, of a smaller last group', () => {
  const ops = ['dw_conv_3x3', 'dw_conv_5x5', 'max_pool_3x3', 'skip_connect'];
  const axes = { 'normal.3.lower': ops, 'normal.3.higher': ops };
  const { sweep: found, trials } = searched({ kind: 'grid', trials: 100, axes });
  const { drawn, cut, groups } = found.screening!;
  assert.ok(drawn > 8 && drawn <= 16, String(drawn));
  assert.deepEqual([groups, trials.length], [2, drawn - cut]);
  assert.deepEqual([found.state, found.trialsTotal], ['done', trials.length]);
});
