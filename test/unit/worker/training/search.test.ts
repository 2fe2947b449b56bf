// Claims about worker/training/search.ts and the loop around it: rounds, their sums and what moves the state. The
// passes are formulas of weights, alphas and batch instead of a network, so that every order, variant and placement
// is cheap; test/search/gang.ts makes the same claims with real passes over a real broker.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { shardSamples } from '../../../../core/data/loading/sampler.ts';
import { FleetError } from '../../../../core/errors.ts';
import { alphasOfText } from '../../../../core/nn/alphas-text.ts';
import { genotypeOfText } from '../../../../core/nn/genotype-code.ts';
import { initialWeights } from '../../../../core/nn/init.ts';
import { layoutOf } from '../../../../core/nn/layout.ts';
import { ALPHA_COUNT, buildSupernet } from '../../../../core/nn/supernet.ts';
import { commitStep, continueStep } from '../../../../core/search/bilevel.ts';
import { alphasOfGenotype } from '../../../../core/search/one-hot.ts';
import { pathOf } from '../../../../core/search/path.ts';
import { skipConnections } from '../../../../core/search/policy.ts';
import { type Order, roundsOf, type Variant } from '../../../../core/search/rounds.ts';
import { OPS } from '../../../../core/spec/network.ts';
import { ALPHAS, comparedDigest, stateDigest, vectorNamed, WEIGHTS } from '../../../../core/state-vectors.ts';
import type { Compute } from '../../../../worker/compute/client.ts';
import type { SearchRequest } from '../../../../worker/compute/messages.ts';
import {
  createSums,
  joinSearch,
  type SearchGangOptions,
  stepTogether,
  tinySearch,
} from '../../../support/search-gang.ts';

const CLASSES = 6;
const IMAGES = 48;
const layout = layoutOf(buildSupernet({ kind: 'supernet', channels: 2, layers: 4, classes: CLASSES }));

const loader: SearchGangOptions['loader'] = {
  async batch(request) {
    const samples = shardSamples({ ...request, half: request.half?.half });
    const indices = Uint32Array.from(samples, ({ index }) => index);
    return { images: new Uint8Array(1), indices, labels: Int32Array.from(indices) };
  },
};

/** Every value depends on all that a pass takes, and sums over shards depend on their order. */
function pass(weights: Float32Array, alphas: Float32Array, labels: Int32Array, into: Float32Array): void {
  const batch = labels.reduce((sum, label) => sum * 0.7 + label, 1) / 50;
  const pull = alphas.reduce((sum, alpha, i) => sum + alpha * Math.cos(i), 0) + weights[0]!;
  const withWeights = into.length > 2 * ALPHA_COUNT + layout.runningCount;
  const first = withWeights ? layout.parameterCount : 0;
  for (let i = 0; i < first; i++) into[i] = weights[i]! * batch + pull / (1 + (i % 7));
  for (let i = first; i < into.length; i++)
    into[i] = batch * weights[i % weights.length]! + pull / (1 + (i % 5));
}

const openOf = (request: SearchRequest) => ({ ...request, layout });

const compute = {
  async runGraph(_graph: unknown, inputs: readonly unknown[], into: Float32Array) {
    const [weights, alphas, , labels] = inputs as [Float32Array, Float32Array, Uint8Array, Int32Array];
    pass(weights, alphas, labels, into);
    return [];
  },
  async continueSearch(request: SearchRequest) {
    continueStep(openOf(request), roundsOf(request.step)[request.round]!, request.mean);
  },
  async commitSearch(request: SearchRequest) {
    const made = commitStep(openOf(request), request.mean);
    const { weights, alphas } = request.state;
    const digest = comparedDigest([
      { name: WEIGHTS, values: weights },
      { name: ALPHAS, values: alphas },
    ]);
    return { ...made, digest };
  },
  async writeInitialWeights({ seed, into }: { seed: number; into: Float32Array }) {
    into.set(initialWeights(layout, seed));
  },
} as Partial<Compute> as Compute;

const gangOf = (more: Partial<SearchGangOptions> & Pick<SearchGangOptions, 'spec' | 'counts'>) => {
  const plane = createSums();
  return joinSearch({
    ...{ classes: CLASSES, trainingImages: IMAGES, loader, compute, runId: 'run-1' },
    planes: () => plane,
    ...more,
  });
};

/** Each kind of last round once; `npm run test:search` has all orders and variants. */
const KINDS: readonly (readonly [Order, Variant])[] = [
  ['first', 'reference'],
  ['second', 'noleak'],
  ['second', 'darts'],
];

test('every placement of the shards gives the same weights, alphas and moments, in the warm-up and after it', async () => {
  const seen = new Set<string>();
  for (const [order, variant] of KINDS) {
    // 24 images in each half and 16 a step: a warm-up of two steps, then alphas move.
    const spec = tinySearch({ order, variant, warmUpEpochs: 1, epochs: 3, shards: 4 });
    const digests = [];
    for (const counts of [[4], [1, 3]]) digests.push(await stepTogether(await gangOf({ spec, counts }), 3));
    assert.equal(new Set(digests).size, 1, `${order}, ${variant}: ${digests.join(' ')}`);
    seen.add(digests[0]!);
  }
  assert.equal(seen.size, KINDS.length, 'orders and variants differ from each other');
});

test('a probe every second step moves no bit, for any placement, and its error is that of those steps alone', async () => {
  for (const variant of ['noleak', 'darts'] as const) {
    const search = { order: 'second', variant, warmUpEpochs: 1, epochs: 4, shards: 4 };
    const plain = await stepTogether(await gangOf({ spec: tinySearch(search), counts: [4] }), 5);
    const errors: (number | undefined)[][] = [];
    for (const counts of [[4], [1, 3], [1, 2, 1]]) {
      const spec = tinySearch({ ...search, probeEvery: 2 });
      const members = await gangOf({ spec, counts });
      const own: (number | undefined)[] = [];
      for (let step = 0; step < 5; step++) {
        const made = await Promise.all(members.map((member) => member.step()));
        assert.equal(new Set(made.map(({ differenceError }) => differenceError)).size, 1);
        own.push(made[0]!.differenceError);
      }
      assert.equal(stateDigest(members[0]!.replica.vectors), plain, `${variant} on ${counts}`);
      errors.push(own);
    }
    // Steps 1 and 2 are the warm-up, whose alphas have no gradient.
    assert.deepEqual(
      errors[0]!.map((error) => error !== undefined),
      [false, false, false, true, false],
    );
    for (const other of errors) assert.deepEqual(other, errors[0]);
    assert.ok(errors[0]![3]! >= 0);
  }
});

test('a step that is broken off in any of its rounds has moved nothing, and is begun again to the same bits', async () => {
  const spec = tinySearch({ order: 'second', variant: 'darts', shards: 2, batch: 4 });
  const undisturbed = await stepTogether(await gangOf({ spec, counts: [2] }), 2);
  // A and B, C, and the last one, whose sum is the run's own; the second step of the first generation breaks.
  for (const [name, round] of [
    ['run-1-search-whole', 2],
    ['run-1-search-whole', 3],
    ['run-1-search-sides', 1],
    ['run-1', 1],
  ] as const) {
    const stop = new AbortController();
    const plane = createSums((runId, at) => {
      if (stop.signal.aborted || runId !== name || at !== round) return undefined;
      const error = new FleetError('aborted', `${name}/${round} was broken off`);
      stop.abort(error);
      return error;
    });
    const gang = { spec, planes: () => plane };
    const first = await gangOf({ ...gang, counts: [1, 1], signal: stop.signal });
    await stepTogether(first, 1);
    const before = stateDigest(first[0]!.replica.vectors);
    const ended = await Promise.allSettled(first.map((member) => member.step()));
    assert.deepEqual(new Set(ended.map(({ status }) => status)), new Set(['rejected']), `${name}/${round}`);
    for (const { replica } of first) assert.equal(stateDigest(replica.vectors), before, `${name}/${round}`);
    const again = await gangOf({ ...gang, counts: [2], generation: 2, replicas: [first[1]!.replica] });
    assert.equal(await stepTogether(again, 1), undisturbed, `${name}/${round}`);
  }
});

test('the stage of a search stands for a genotype and for the means of both losses', async () => {
  const [member] = await gangOf({ spec: tinySearch({ order: 'first', shards: 2 }), counts: [2] });
  const losses = [];
  for (let step = 0; step < 2; step++) losses.push((await member!.step()).point.loss);
  const { trainingLoss, validationLoss, genotype, alphas } = (await member!.found(1))!;
  assert.deepEqual(
    alphasOfText(alphas!, ALPHA_COUNT),
    Float32Array.from(vectorNamed(member!.replica.vectors, 'alphas')),
  );
  assert.equal(genotype.length, 16);
  assert.ok(Math.abs(trainingLoss - (losses[0]! + losses[1]!) / 2) < 1e-5, `${trainingLoss}, ${losses}`);
  assert.ok(Number.isFinite(validationLoss));
  assert.equal(vectorNamed(member!.replica.vectors, 'losses')[2], 2);
});

test('the weight of the unweighted skip is an input of every pass, on a straight line over the epochs', async () => {
  const seen: { readonly hasAuxiliarySkip: unknown; readonly inputs: number; readonly weight: number }[] = [];
  const recording = {
    ...compute,
    async runGraph(graph, inputs, into) {
      const { hasAuxiliarySkip } = graph as { hasAuxiliarySkip?: boolean };
      const weight = (inputs[4] as Float32Array | undefined)?.[0] ?? Number.NaN;
      seen.push({ hasAuxiliarySkip, inputs: inputs.length, weight });
      return compute.runGraph(graph, inputs, into);
    },
  } as Compute;
  const search = { order: 'first', shards: 1, epochs: 3 };
  const faded = tinySearch({ ...search, auxiliarySkip: {} });
  // 24 images in each half and 16 a step: epochs begin in steps 0, 2 and 3.
  await stepTogether(await gangOf({ spec: faded, counts: [1], compute: recording }), 4);
  assert.deepEqual(
    seen.map(({ weight }) => weight),
    [1, 1, 1, 1, 0.5, 0.5, 0, 0],
  );
  assert.ok(seen.every(({ hasAuxiliarySkip, inputs }) => hasAuxiliarySkip === true && inputs === 5));
  seen.length = 0;
  await stepTogether(await gangOf({ spec: tinySearch(search), counts: [1], compute: recording }), 1);
  assert.ok(seen.every(({ hasAuxiliarySkip, inputs }) => hasAuxiliarySkip === undefined && inputs === 4));
});

test('a limit of skips is kept by the genotype that a stage stands for', async () => {
  const skipsOf = async (skips: { readonly max: number } | undefined) => {
    const spec = tinySearch({ order: 'first', shards: 1, ...(skips === undefined ? {} : { skips }) });
    const [member] = await gangOf({ spec, counts: [1] });
    const { vectors } = member!.replica;
    vectorNamed(vectors, ALPHAS).forEach((_, i, alphas) => {
      alphas[i] = i % OPS.length === OPS.indexOf('skip_connect') ? 1 + i / 1000 : 0;
    });
    return skipConnections(genotypeOfText((await member!.found(1))!.genotype));
  };
  assert.deepEqual(
    [await skipsOf(undefined), await skipsOf({ max: 8 }), await skipsOf({ max: 3 })],
    [8, 8, 3],
  );
});

test('of uniform each step trains the weights of one random path, the same for every placement, and moves no alpha', async () => {
  const spec = tinySearch({ strategy: 'uniform', shards: 4, epochs: 3 });
  const seen: Float32Array[] = [];
  const recording = {
    ...compute,
    async runGraph(graph, inputs, into) {
      seen.push(Float32Array.from(inputs[1] as Float32Array));
      return compute.runGraph(graph, inputs, into);
    },
  } as Compute;
  const alone = await gangOf({ spec, counts: [4], compute: recording });
  const initial = vectorNamed(alone[0]!.replica.vectors, ALPHAS).slice();
  const digests = [await stepTogether(alone, 4)];
  for (const counts of [
    [1, 3],
    [1, 1, 1, 1],
  ])
    digests.push(await stepTogether(await gangOf({ spec, counts }), 4));
  assert.equal(new Set(digests).size, 1, digests.join(' '));
  assert.deepEqual(vectorNamed(alone[0]!.replica.vectors, ALPHAS), initial);
  assert.equal(vectorNamed(alone[0]!.replica.vectors, 'losses')[3], 0, 'no alphas moved');
  assert.equal(await alone[0]!.found(1), undefined);
  assert.equal(seen.length, 16, 'one pass a shard and step');
  const paths = [0, 1, 2, 3].map((step) => pathOf(spec.training.seed, step));
  seen.forEach((alphas, i) => {
    assert.deepEqual(alphas, alphasOfGenotype(paths[Math.floor(i / 4)]!));
  });
  assert.equal(new Set(paths.map((path) => JSON.stringify(path))).size, 4, 'a path of its own each');
});
