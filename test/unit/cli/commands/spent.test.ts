// What sweeps and searches had found by the same number of worker-seconds: gathered from the coordinator's answers, and
// compared.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FleetClient } from '../../../../coordinator/cli/client.ts';
import { spentOf } from '../../../../coordinator/cli/commands/spent.ts';
import {
  atEqualSeconds,
  equalSecondsText,
  type Spent,
} from '../../../../coordinator/cli/screen/equal-seconds.ts';
import { GENOTYPES } from '../../../../core/nn/genotype.ts';
import type { Run, Sweep, Trial } from '../../../../proto/gen/pocketfleet/v1/fleet.ts';
import { PhaseSeconds } from '../../../../proto/gen/pocketfleet/v1/fleet.ts';
import { evaluation, run, sweep, trial } from '../messages.ts';

const sizes = { channels: 4, layers: 4, embedding: 16 };
const data = { kind: 'folder', path: './people', holdout: 20 };
const verification = { pairs: 400 };
const training = { epochs: 2, batch: 16, shards: 2 };

const sweepOf = (id: string, kind: string, seed: number, change: object = {}): Sweep =>
  sweep({
    id,
    specJson: JSON.stringify({
      ...{ name: id, data, space: { ...sizes, ops: ['skip_connect'] }, strategy: { kind, trials: 3, seed } },
      ...{ evaluation: { training: { ...training, seed: 1 }, verification }, ...change },
    }),
  });

const searchOf = (id: string, seed: number, change: Partial<Run> = {}): Run =>
  run({
    ...{ id, kind: 'search', state: 'done' },
    specJson: JSON.stringify({
      ...{ name: id, data, training: { epochs: 20, seed }, search: { order: 'first', variant: 'noleak' } },
    }),
    found: {
      ...{ genotypeJson: JSON.stringify(GENOTYPES.casia), skips: 1, changedEdges: 0, trainingLoss: 1 },
      ...{ validationLoss: undefined, alphas: [] },
    },
    ...change,
  });

const trainedOf = (id: string, accuracy: number, change: object = {}): Run =>
  run({
    ...{ id, kind: 'candidate', state: 'done', evaluation: evaluation({ accuracy }) },
    specJson: JSON.stringify({
      ...{ data, verification, training: { ...training, seed: 5 } },
      ...{ network: { kind: 'pocketnet', ...sizes, genotype: GENOTYPES.casia }, ...change },
    }),
  });

/** Answers as a coordinator gives them. */
function clientOf(known: {
  readonly trials?: Readonly<Record<string, readonly Trial[]>>;
  readonly runs?: readonly Run[];
  readonly seconds: Readonly<Record<string, number>>;
}): FleetClient {
  const names = new Proxy({}, { get: (_, name) => name });
  const answers: Readonly<Record<string, (request: { id: string; sweepId: string }) => unknown>> = {
    getGoodput: ({ id }) => ({
      seconds: PhaseSeconds.fromPartial({ compute: known.seconds[id]! - 1, evaluate: 1 }),
    }),
    listTrials: ({ sweepId }) => ({ trials: known.trials?.[sweepId] ?? [], nextPageToken: '' }),
    listRuns: () => ({ runs: known.runs ?? [], nextPageToken: '' }),
  };
  const ask = async (pick: (service: never) => unknown, request: never) =>
    answers[pick(names as never) as string]!(request);
  return { ask } as unknown as FleetClient;
}

test('a sweep spends by the number of its trials, failed ones too, and a result that was taken costs what its run did', async () => {
  const of = (number: number, change: Partial<Trial>) =>
    trial({
      id: `trial-${number}`,
      number,
      state: 'done',
      runId: `run-${number}`,
      objective: 0.7,
      ...change,
    });
  const client = clientOf({
    trials: {
      'sweep-1': [
        of(3, { objective: 0.9, reusedFrom: 'run-77' }),
        of(1, {}),
        of(2, { state: 'failed', objective: Number.NaN }),
        of(4, { state: 'queued', runId: '', objective: Number.NaN }),
      ],
    },
    seconds: { 'trial-1': 10, 'trial-2': 20, 'trial-3': 1, 'run-77': 30 },
  });
  const [spent] = await spentOf(client, [sweepOf('sweep-1', 'random', 4)]);
  assert.deepEqual(spent, {
    ...{ id: 'sweep-1', method: 'random', seed: 4, total: 60, isSearch: false, missing: '' },
    results: [
      { of: 'trial-1', seconds: 10, accuracy: 0.7 },
      { of: 'trial-3', seconds: 60, accuracy: 0.9 },
    ],
  });
});

test('a search counts once its cells were trained as the candidates beside it, with the seconds of that', async () => {
  const runs = [
    trainedOf('run-5', 0.99, { training: { ...training, epochs: 50 } }),
    trainedOf('run-6', 0.98, { network: { kind: 'pocketnet', ...sizes, genotype: GENOTYPES.cifar10 } }),
    trainedOf('run-7', 0.97, {
      network: { kind: 'pocketnet', ...sizes, channels: 8, genotype: GENOTYPES.casia },
    }),
    trainedOf('run-8', 0.8),
  ];
  const seconds = { 'run-1': 500, 'run-2': 300, 'run-8': 40 };
  const things = [
    sweepOf('sweep-1', 'random', 1),
    searchOf('run-1', 3),
    searchOf('run-2', 4, { state: 'running' }),
  ];
  const [, search, running] = await spentOf(clientOf({ runs, seconds }), things);
  assert.deepEqual(search, {
    ...{ id: 'run-1', method: 'darts first noleak', seed: 3, total: 540, isSearch: true, missing: '' },
    results: [{ of: 'run-8', seconds: 540, accuracy: 0.8 }],
  });
  assert.deepEqual([running!.results, running!.missing], [[], 'it is running']);
  const [, untrained] = await spentOf(clientOf({ runs: runs.slice(0, 3), seconds }), things.slice(0, 2));
  assert.match(untrained!.missing, /not trained yet as the candidates are: network: \{ genotype: run-1 \}/);
});

test('what has no trained cells of its own has no result: inherited weights, and random paths', async () => {
  const strategy = { kind: 'one-shot', supernet: 'faces', seed: 1 };
  const uniform = searchOf('run-1', 1, { found: undefined });
  const spec = JSON.parse(uniform.specJson) as { readonly search: object };
  const paths = { ...spec, search: { ...spec.search, strategy: 'uniform' } };
  const trials = { 'sweep-1': [trial({ id: 'trial-1', state: 'done', runId: 'run-9', objective: 0.9 })] };
  const [inherited, random] = await spentOf(clientOf({ trials, seconds: { 'trial-1': 5, 'run-1': 50 } }), [
    sweepOf('sweep-1', 'one-shot', 1, { strategy }),
    { ...uniform, specJson: JSON.stringify(paths) },
  ]);
  assert.deepEqual([inherited!.results, inherited!.total], [[], 5]);
  assert.match(inherited!.missing, /inherit the weights of faces/);
  assert.deepEqual([random!.method, random!.results], ['uniform', []]);
  assert.match(random!.missing, /random paths/);
});

test('sweeps that train differently are refused, and equal methods with other specs are named apart', async () => {
  const client = clientOf({ seconds: {} });
  const other = sweepOf('sweep-2', 'random', 2, { evaluation: { training: { epochs: 9 }, verification } });
  await assert.rejects(
    spentOf(client, [sweepOf('sweep-1', 'random', 1), other]),
    /train or verify their candidates/,
  );
  const space = { ...sizes, ops: ['dw_conv_3x3'] };
  const methods = await spentOf(client, [
    sweepOf('sweep-1', 'random', 1),
    sweepOf('sweep-2', 'random', 2),
    sweepOf('sweep-3', 'random', 1, { space }),
    sweepOf('sweep-4', 'evolution', 1),
  ]);
  assert.deepEqual(
    methods.map(({ method }) => method),
    ['random', 'random', 'random (2)', 'evolution'],
  );
});

const spent = (
  id: string,
  method: string,
  accuracies: readonly number[],
  change: Partial<Spent> = {},
): Spent => ({
  ...{ id, method, seed: 1, total: 10 * accuracies.length, isSearch: false, missing: '' },
  results: accuracies.map((accuracy, at) => ({ of: `${id}/${at + 1}`, seconds: 10 * (at + 1), accuracy })),
  ...change,
});

test('all are compared when the slowest search had ended, else when the first sweep had, or when it is said', () => {
  const sweeps = [spent('a', 'random', [0.6, 0.5, 0.9]), spent('b', 'random', [0.7, 0.8])];
  const plain = atEqualSeconds(sweeps);
  assert.equal(plain.seconds, 20);
  assert.deepEqual(
    plain.standings.map(({ count, best }) => [count, best!.of]),
    [
      [2, 'a/1'],
      [2, 'b/2'],
    ],
  );
  // 0.6 and 0.8.
  assert.ok(Math.abs(plain.methods[0]!.mean - 0.7) < 1e-12);
  assert.ok(Math.abs(plain.methods[0]!.spread - Math.SQRT2 / 10) < 1e-12);
  const search = (id: string, seconds: number) =>
    spent(id, 'darts', [], {
      isSearch: true,
      total: seconds,
      results: [{ of: 'run-8', seconds, accuracy: 0.75 }],
    });
  const withSearch = atEqualSeconds([...sweeps, search('c', 25), search('d', 28)]);
  assert.equal(withSearch.seconds, 28);
  assert.deepEqual(
    withSearch.standings.map(({ best }) => best!.accuracy),
    [0.6, 0.8, 0.75, 0.75],
  );
  const early = atEqualSeconds([...sweeps, search('c', 25)], 5);
  assert.deepEqual(
    early.standings.map(({ best }) => best),
    [undefined, undefined, undefined],
  );
  assert.ok(Number.isNaN(early.methods[0]!.mean));
});

test('the text says at how many seconds, what each had, and who had spent less', () => {
  const text = equalSecondsText(
    atEqualSeconds([
      spent('sweep-1', 'random', [0.6, 0.5, 0.9]),
      spent('run-1', 'darts first', [], {
        isSearch: true,
        total: 40,
        missing: 'its cells are not trained yet',
      }),
    ]),
  );
  assert.match(text, /^at 40 s of workers/);
  assert.match(text, /sweep-1 +random +1 +30 s +3 +90\.00 % +sweep-1\/3/);
  assert.match(text, /run-1 +darts first +1 +40 s +0 +– +its cells are not trained yet/);
  assert.match(text, /darts first +1 +– +–/);
  assert.match(text, /less than that was spent by sweep-1/);
});
