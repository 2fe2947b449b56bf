import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sentenceOf } from '../../../../coordinator/journal/why.ts';
import { allNumbers } from '../../../../coordinator/model/roll.ts';
import { sweepOf, trialOf } from '../../../../coordinator/model/state.ts';
import { plan, sweep } from '../../../sim/specs.ts';
import { FACTS } from '../../../sim/world.ts';
import { folded, plainOf } from '../../../support/state.ts';
import { core } from './core.ts';

const EVOLUTION = { kind: 'evolution', trials: 10, population: 4, sample: 2, lag: 2 };

/** A fleet on which a sweep of random search has ended; better with its number. */
function searched() {
  const fleet = core(2);
  fleet.submit({ kind: 'sweep', spec: sweep({ name: 'first', strategy: { trials: 6 } }), facts: FACTS });
  finishAll(fleet);
  return fleet;
}

function finishAll(fleet: ReturnType<typeof core>): void {
  for (let [id] = fleet.running(); id !== undefined; [id] = fleet.running())
    fleet.finish(id, 0.5 + Number(id.slice(4)) / 100);
}

const submit = (fleet: ReturnType<typeof core>, change: Record<string, unknown>) =>
  fleet.submit({ kind: 'sweep', spec: sweep({ name: 'second', ...change }), facts: FACTS });

test('a search that begins with the results of another breeds from them at once, and none is drawn', () => {
  const common = { trials: 10, lag: 2, from: 'first' };
  for (const strategy of [
    { ...EVOLUTION, ...common },
    { kind: 'nsga2', population: 4, ...common },
    { kind: 'tpe', startup: 4, ...common },
  ]) {
    const fleet = searched();
    submit(fleet, { strategy });
    const second = sweepOf(fleet.state, 'sweep-2');
    assert.equal('from' in second.spec.strategy && second.spec.strategy.from, 'sweep-1');
    const proposed = fleet.events.flatMap((event) =>
      event.kind === 'trial.proposed' && event.sweepId === 'sweep-2' ? [sentenceOf(event, fleet.state)] : [],
    );
    assert.equal(proposed.length, 2);
    const bred =
      strategy.kind === 'tpe'
        ? /among the best 1 of 6 results/
        : /; a (mutation|child) of trial [1-6] of sweep-1/;
    for (const sentence of proposed) assert.match(sentence, bred);
    finishAll(fleet);
    assert.equal(sweepOf(fleet.state, 'sweep-2').state, 'done');
    assert.deepEqual(plainOf(folded(JSON.parse(JSON.stringify(fleet.events)))), plainOf(fleet.state));
  }
});

test('why says how many results a search begins with, which its journal names one by one', () => {
  const fleet = searched();
  // One that breaks the constraints of the new search does not count.
  const { trialIds } = sweepOf(fleet.state, 'sweep-1');
  const costs = [...allNumbers(trialIds)].map((n) => trialOf(fleet.state, `trial-${n}`).costs.parameters);
  const parametersMax = Math.max(...costs) - 1;
  submit(fleet, { strategy: { ...EVOLUTION, from: 'sweep-1' }, constraints: { parametersMax } });
  const event = fleet.events.find((one) => one.kind === 'sweep.submitted' && one.sweepId === 'sweep-2')!;
  const trials = costs.flatMap((cost, at) => (cost <= parametersMax ? [at + 1] : []));
  assert.deepEqual(event.kind === 'sweep.submitted' && event.start, { sweepId: 'sweep-1', trials });
  assert.match(
    sentenceOf(event, fleet.state),
    new RegExp(`; it begins with the results of ${trials.length} trials of sweep-1$`),
  );
});

test('a plan whose search begins with another sweep has its results too', () => {
  const fleet = searched();
  const { search } = plan();
  const spec = plan({ search: { ...search, strategy: { ...EVOLUTION, from: 'first' } } });
  fleet.submit({ kind: 'plan', spec, yaml: '', facts: FACTS });
  const event = fleet.events.findLast((one) => one.kind === 'sweep.submitted')!;
  assert.deepEqual(event.kind === 'sweep.submitted' && event.start?.trials, [1, 2, 3, 4, 5, 6]);
});

test('refused: a sweep that a search cannot begin with', () => {
  const fleet = searched();
  submit(fleet, { name: 'empty' });
  submit(fleet, { name: 'first' });
  const before = fleet.events.length;
  const refused = (change: Record<string, unknown>, reason: RegExp) =>
    assert.throws(() => submit(fleet, change), { code: 'invalidArgument', message: reason });
  const from = (name: string) => ({ strategy: { ...EVOLUTION, from: name } });
  refused(from('nobody'), /^strategy\.from: "nobody" is no sweep of this fleet/);
  refused(
    from('first'),
    /^strategy\.from: 2 sweeps are named first; give the id of one, e\.g\. sweep-3, sweep-1/,
  );
  refused(
    { ...from('sweep-1'), space: { channels: 4, layers: 4, embedding: 16 } },
    /^strategy\.from: sweep-1 searched another space: its channels is 2, not 4; only one of the same/,
  );
  refused(
    { ...from('sweep-1'), objectives: [{ name: 'mflops', direction: 'minimise' }] },
    /^strategy\.from: sweep-1 looked for other objectives: maximise accuracy, and this search for minimise mflops$/,
  );
  refused(
    from('empty'),
    /^strategy\.from: sweep-2 has no result of a full evaluation .*\(0 of 6 trials done\)$/,
  );
  assert.equal(fleet.events.length, before);
});
