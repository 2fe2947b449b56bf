// A plan whose search is differentiable: what it trains when, and which cells its students get.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type PlanState, planOf, runOf, wholeRunWith } from '../../../../coordinator/model/state.ts';
import { GENOTYPES } from '../../../../core/nn/genotype.ts';
import { codeOf, keyOfCode } from '../../../../core/nn/genotype-code.ts';
import type { Genotype, NetworkSpec } from '../../../../core/spec/network.ts';
import { planSchema } from '../../../../core/spec/plan.ts';
import { plan } from '../../../sim/specs.ts';
import { FACTS } from '../../../sim/world.ts';
import { folded, plainOf } from '../../../support/state.ts';
import { core } from './core.ts';

const SEARCH = {
  kind: 'search',
  supernet: { channels: 2, layers: 4 },
  search: { epochs: 3, batch: 16, shards: 2 },
  workers: { max: 2 },
};
const cells = (genotype: string) => ({
  ...{ kind: 'pocketnet', channels: 2, layers: 5, embedding: 16 },
  genotype,
});
const [plain, distilled] = plan().students;
const withCells = (...genotypes: readonly [string, string]) =>
  [plain, distilled].map((student, i) => ({ ...student, network: cells(genotypes[i]!) }));

function planned(change: Record<string, unknown> = {}) {
  const fleet = core(4);
  const spec = plan({ search: SEARCH, students: withCells('best', 'best@1'), ...change });
  fleet.submit({ kind: 'plan', spec, yaml: '', facts: FACTS });
  const stored = (stage: number, genotype: Genotype) =>
    fleet.report('run-1', {
      ...{ kind: 'checkpointStored', stage, step: 2 * stage, bytes: 1, digest: `d${stage}` },
      ...{ weightsDigest: 'w', search: { genotype: keyOfCode(codeOf(genotype)), trainingLoss: 1 } },
    });
  const current = (): PlanState => planOf(fleet.state, 'plan-1');
  const network = (id: string) => (runOf(fleet.state, id).job as { readonly network?: NetworkSpec }).network;
  return { ...fleet, events: fleet.events, stored, current, network, state: () => fleet.state };
}

test('it begins with the search, and its students train the cells of the end or of an epoch', () => {
  const fleet = planned();
  const { job, name, reason } = runOf(fleet.state(), 'run-1');
  assert.deepEqual([job.kind, name, job.search?.supernet.channels], ['search', 'demo-search', 2]);
  assert.match(reason, /search of plan-1|free/);
  assert.equal(wholeRunWith(fleet.state(), 'run-2'), undefined, 'the teacher waits for the search');
  fleet.stored(1, GENOTYPES.cifar10);
  fleet.stored(2, GENOTYPES.cifar10);
  fleet.stored(3, GENOTYPES.casia);
  fleet.report('run-1', { kind: 'finished', weightsDigest: 'w' });
  const { searchRunId, teacherRunId, studentRunIds } = fleet.current();
  assert.deepEqual([searchRunId, teacherRunId, ...studentRunIds], ['run-1', 'run-2', 'run-3', 'run-4']);
  assert.deepEqual(fleet.network('run-3'), { ...cells(''), genotype: GENOTYPES.casia });
  assert.deepEqual(fleet.network('run-4'), { ...cells(''), genotype: GENOTYPES.cifar10 });
  const created = fleet.events.filter((event) => event.kind === 'run.created');
  assert.match(created[2]!.reason, /^student of plan-1: cells of run-1@3$/);
  for (const [id, accuracy] of [
    ['run-2', 0.6],
    ['run-3', 0.7],
    ['run-4', 0.6],
  ] as const)
    fleet.finish(id, accuracy);
  assert.equal(fleet.current().state, 'done', fleet.current().reason);
  assert.equal(fleet.current().winnerRunId, 'run-3');
  assert.deepEqual(plainOf(folded(fleet.events)), plainOf(fleet.state()));
});

test('a search that fails fails its plan, and resuming the plan goes on with the search', () => {
  const fleet = planned();
  fleet.stored(1, GENOTYPES.casia);
  fleet.fail('run-1', 'user');
  assert.equal(fleet.current().state, 'failed');
  assert.match(fleet.current().reason, /its search demo-search, run-1 failed|its search demo-search/);
  fleet.resume('plan-1');
  assert.deepEqual([fleet.current().state, runOf(fleet.state(), 'run-1').state], ['running', 'running']);
});

test('an epoch that a search did not reach fails the plan with both numbers; pauses and priorities reach the search', () => {
  const stop = { skipsMax: 0, after: 0, for: 1 };
  const search = { ...SEARCH, search: { ...SEARCH.search, stop } };
  const fleet = planned({ search, students: withCells('best@2', 'best') });
  fleet.give({ kind: 'prioritise', id: 'plan-1', priority: 7, reason: '' });
  assert.equal(runOf(fleet.state(), 'run-1').priority, 7);
  fleet.stored(1, GENOTYPES.casia);
  assert.equal(runOf(fleet.state(), 'run-1').state, 'done');
  assert.equal(fleet.current().state, 'failed');
  assert.match(
    fleet.current().reason,
    /its student plain has no network: search run-1 has the epochs 1 to 1 of 3 behind it, not 2/,
  );
});

test('what cannot be of such a plan is refused by its field', () => {
  const issuesOf = (change: Record<string, unknown>) =>
    planSchema
      .safeParse({ ...plan(), search: SEARCH, students: withCells('best', 'casia'), ...change })
      .error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
  assert.equal(issuesOf({}), undefined);
  assert.deepEqual(issuesOf({ students: [plain] }), [
    'students.0.network: best names the winner of a search, and a search of kind search finds cells, not sizes: give network: { kind: pocketnet, genotype: best }',
  ]);
  assert.deepEqual(issuesOf({ students: withCells('best', 'best@4') }), [
    'students.1.network.genotype: the search of this plan has 3 epochs, not 4',
  ]);
  const { teacher } = plan();
  assert.deepEqual(issuesOf({ teacher: { ...teacher, network: cells('best') } }), [
    'teacher.network.genotype: the cells that the search of this plan finds are for its students',
  ]);
  assert.deepEqual(issuesOf({ search: { ...SEARCH, workers: { max: 4 } } }), [
    'search.workers.max: 4 workers cannot share 2 shards',
  ]);
  assert.match(issuesOf({ search: { ...SEARCH, name: 'mine' } })!.join(), /search: Unrecognized key/);
});
