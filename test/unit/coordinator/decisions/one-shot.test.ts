// A sweep of strategy one-shot in the core: what its runs are, which of them stand for others, and how it ends.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sentenceOf } from '../../../../coordinator/journal/why.ts';
import { identityOf, identityText } from '../../../../coordinator/model/identity.ts';
import { allNumbers } from '../../../../coordinator/model/roll.ts';
import { encodeState } from '../../../../coordinator/model/snapshot.ts';
import { decodeState } from '../../../../coordinator/model/snapshot-decoder.ts';
import { specOf } from '../../../../coordinator/model/spec-of.ts';
import { runOf, sweepOf, trialOf } from '../../../../coordinator/model/state.ts';
import { randomStream } from '../../../../core/rng.ts';
import type { Inherits } from '../../../../core/spec/inherits.ts';
import { sweep, training } from '../../../sim/specs.ts';
import { FACTS } from '../../../sim/world.ts';
import { folded, plainOf } from '../../../support/state.ts';
import { core } from './core.ts';

const INHERITS: Inherits = {
  ...{ run: 'run-99', stage: 3, digest: 'ab'.repeat(32), supernet: { channels: 4, layers: 4 } },
  ...{ halves: { seed: 1, stratify: 'even' }, batch: 4, cropFrom: 128, flip: true, seed: 1, calibration: 2 },
};
const STRATEGY = {
  ...{ kind: 'one-shot', supernet: 'paths', trials: 10, population: 4, sample: 2, lag: 4 },
  ...{ calibration: 2, train: 2, tauSample: 5, inherits: INHERITS },
};
const FACTS_OF_SET = { ...FACTS, digest: 'cd'.repeat(32) };

const accuracyOf = (number: number, isTrained: boolean) =>
  0.3 + ((number * 37) % 101) / 200 + (isTrained ? ((number * 11) % 17) / 100 : 0);

/** Runs a sweep to its end; `order` chooses which of the running runs finishes next. */
function searched(workers: number, order: (count: number) => number = () => 0, strategy: object = {}) {
  const fleet = core(workers);
  const spec = sweep({
    ...{ strategy: { ...STRATEGY, ...strategy }, parallelism: workers },
    evaluation: { training, verification: { latency: true } },
  });
  fleet.submit({ kind: 'sweep', spec, facts: FACTS_OF_SET });
  const runs = [];
  for (let left = 100; sweepOf(fleet.state, 'sweep-1').state === 'running'; left--) {
    assert.ok(left > 0, 'the sweep goes on for ever');
    const running = fleet.running();
    const id = running[order(running.length)]!;
    const run = runOf(fleet.state, id);
    const own = specOf(fleet.state, run);
    const { number } = trialOf(fleet.state, run.trialId!);
    const isTrained = own.inherits === undefined;
    runs.push({ id, number, isTrained, spec: own, identity: identityOf(fleet.state, run) });
    const latency = isTrained ? { latency: { milliseconds: 1, deviceClass: 'cpu' } } : {};
    fleet.finish(id, accuracyOf(number, isTrained), isTrained ? id : 'supernet', latency);
  }
  const found = sweepOf(fleet.state, 'sweep-1');
  const trials = [...allNumbers(found.trialIds)].map((number) => trialOf(fleet.state, `trial-${number}`));
  return { fleet, sweep: found, trials, runs };
}

test('runs with inherited weights name the search network, and those of the chosen are trainings as of any sweep', () => {
  const { runs, trials, sweep: found, fleet } = searched(2);
  const inherited = runs.filter(({ isTrained }) => !isTrained);
  assert.equal(inherited.length, 10);
  for (const { spec } of inherited) {
    assert.deepEqual(spec.inherits, INHERITS);
    assert.equal(spec.verification.latency, undefined, 'the search network is not what is timed');
  }
  const trained = runs.filter(({ isTrained }) => isTrained);
  // Of ten ranks the best two, and five in equal steps of 9 / 4: 0, 2, 5, 7 and 9.
  assert.equal(trained.length, 6);
  assert.ok(trained.every(({ spec }) => spec.verification.latency === true));
  const full = trials.filter(({ fidelity }) => fidelity === undefined);
  assert.deepEqual(
    full.map(({ number }) => number),
    trained.map(({ number }) => number).sort((a, b) => a - b),
  );
  for (const { rungs, runIds } of full) {
    assert.deepEqual(
      rungs?.map(({ fidelity }) => fidelity),
      [{ inherited: 2 }],
    );
    assert.equal(runIds.length, 2, 'its training is a run of its own');
  }
  const best = trialOf(fleet.state, found.bestTrialId!);
  assert.equal(best.fidelity, undefined, 'whatever others had with inherited weights');
  assert.match(
    found.reason,
    /^10 of 10 trials done, best trial-\d+ .*; Kendall's tau .* of the 5 .* is -?\d\.\d\d \(/,
  );
});

test('the same candidates are proposed and trained for other workers and in another order of finishing', () => {
  const moves = ({ trials, sweep: found }: ReturnType<typeof searched>) => [
    ...trials.map(({ genotypeKey, objectives, fidelity, rungs }) => ({
      ...{ genotypeKey, objectives, fidelity, inherited: rungs?.[0]?.objectives },
    })),
    found.reason.replace(/best trial-\d+/, ''),
  ];
  for (const propose of ['evolution', 'random']) {
    const random = randomStream({ seed: 5, purpose: 'order' });
    const many = searched(4, (count) => random.integer(count), { propose });
    assert.deepEqual(moves(many), moves(searched(1, () => 0, { propose })), propose);
  }
});

test('a result with inherited weights is one of the search network by its digest, of no training and no seed', () => {
  const identityWith = (strategy: object, change: Record<string, unknown> = {}) => {
    const fleet = core(1);
    const spec = sweep({ strategy: { ...STRATEGY, ...strategy }, evaluation: { training, ...change } });
    fleet.submit({ kind: 'sweep', spec, facts: FACTS_OF_SET });
    const [id] = fleet.running();
    return identityText(identityOf(fleet.state, runOf(fleet.state, id!))!);
  };
  const plain = identityWith({});
  const other = (change: Partial<Inherits>) => identityWith({ inherits: { ...INHERITS, ...change } });
  assert.equal(identityWith({ train: 3 }, { training: { ...training, epochs: 9, seed: 4 } }), plain);
  assert.equal(other({ run: 'run-98', stage: 7 }), plain, 'the digest names it');
  assert.notEqual(other({ digest: 'ef'.repeat(32) }), plain);
  assert.notEqual(other({ calibration: 3 }), plain);
  assert.notEqual(identityWith({}, { verification: { pairs: 40 } }), plain);
});

test('the journal gives the same state, and a snapshot in the middle of it goes on', () => {
  const { fleet } = searched(2);
  const half = fleet.events.slice(0, Math.floor(fleet.events.length / 2));
  const middle = folded(half);
  const parts = JSON.parse(JSON.stringify([...encodeState(middle)]));
  assert.deepEqual(plainOf(decodeState(parts)), plainOf(middle));
  assert.deepEqual(plainOf(folded(fleet.events)), plainOf(fleet.state));
});

test('why says what a result was measured with, which rank had a candidate trained, and what the ranks say', () => {
  const { fleet } = searched(2);
  const sentences = fleet.events.map((event) => sentenceOf(event, fleet.state));
  const says = (pattern: RegExp) =>
    assert.ok(
      sentences.some((text) => pattern.test(text)),
      `no ${pattern} in\n${sentences.join('\n')}`,
    );
  says(/accuracy 0\.\d+ with inherited weights/);
  says(
    /rank 1 of 10 with inherited weights \(0\.\d+\), one of the best 2, which are trained and one of 5 whose ranks/,
  );
  says(/Kendall's tau between inherited and trained accuracy/);
});

test('a worker that is lost over an evaluation is followed by another, without a charge', () => {
  const fleet = core(2);
  const spec = sweep({ strategy: STRATEGY, evaluation: { training }, parallelism: 1 });
  fleet.submit({ kind: 'sweep', spec, facts: FACTS_OF_SET });
  const [id] = fleet.running();
  const { workerId } = runOf(fleet.state, id!).gang[0]!;
  fleet.give({ kind: 'lost', workerId, incarnation: 'i', cause: 'silent', reason: 'by test' });
  const run = runOf(fleet.state, id!);
  assert.notEqual(run.gang[0]?.workerId, workerId);
  assert.equal(trialOf(fleet.state, run.trialId!).runIds.length, 1, 'it is the same attempt');
});
