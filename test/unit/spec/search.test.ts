// What a document of kind `search` may be, and the run that it becomes.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { documentOf, documentSchema } from '../../../core/spec/document.ts';
import { learningRateAt } from '../../../core/spec/schedule.ts';
import { checkShape, sentence } from '../../../core/text/shape.ts';

const SEARCH = {
  kind: 'search',
  name: 's',
  data: { kind: 'synthetic', identities: 12, images: 8, holdout: 4 },
};

const problems = (change: object): string => {
  const checked = checkShape(documentSchema, { ...SEARCH, ...change });
  return checked.ok ? 'it was taken' : checked.problems.map(sentence).join('\n');
};

test('a search has defaults, and becomes a run whose training is that of the weights on their half', () => {
  const run = documentOf(documentSchema.parse(SEARCH));
  assert.ok(run.kind === 'search' && run.search !== undefined);
  const { order, variant, decode, supernet, halves, warmUpEpochs } = run.search;
  assert.deepEqual(
    { order, variant, decode, warmUpEpochs },
    {
      ...{ order: 'first', variant: 'noleak', decode: 'raw', warmUpEpochs: 0 },
    },
  );
  assert.deepEqual(supernet, { channels: 16, layers: 8 });
  assert.deepEqual(halves, { seed: 1, stratify: 'even' });
  const { epochs, batch, shards, fraction, optimizer } = run.training;
  assert.deepEqual([epochs, batch, shards, fraction], [50, 128, 8, 0.5]);
  // A cosine from 0.1 towards 0.004 over 50 epochs: halfway down after 25 of them.
  assert.equal(optimizer.weightDecay, 3e-4);
  assert.equal(learningRateAt(run.training, 0), 0.1);
  assert.ok(Math.abs(learningRateAt(run.training, 25) - 0.052) < 1e-12);
  assert.ok(learningRateAt(run.training, 49) > 0.004);
});

test('what cannot be searched is refused with field and reason', () => {
  for (const [change, expected] of [
    [{ search: { shards: 6, batch: 12 } }, /^search\.shards: 6 is not a power of two/],
    [{ search: { shards: 8, batch: 20 } }, /^search\.batch: batch 20 is not divisible by 8 shards/],
    [{ search: { shards: 8, batch: 8 } }, /^search\.batch: .*leaves 1 image a shard/],
    [{ search: { order: 'second', shards: 8, batch: 32 } }, /^search\.batch: .*fewer than 8.*force: true/],
    [{ search: { epochs: 3, warmUpEpochs: 3 } }, /^search\.warmUpEpochs: a warm-up of 3 epochs leaves none/],
    [{ search: { variant: 'nolek' } }, /^search\.variant: unknown variant .*one of noleak, reference, darts/],
    [{ search: { strategy: 'random' } }, /^search\.strategy: unknown strategy .*one of gradient, uniform/],
    [
      { search: { strategy: 'uniform', order: 'second', force: true } },
      /^search\.order: strategy: uniform takes/,
    ],
    [{ search: { strategy: 'uniform', variant: 'darts' } }, /^search\.variant: strategy: uniform moves the/],
    [{ search: { strategy: 'uniform', warmUpEpochs: 1 } }, /^search\.warmUpEpochs: strategy: uniform has no/],
    [{ search: { strategy: 'uniform', decode: 'softmax' } }, /^search\.decode: strategy: uniform decodes no/],
    [{ search: { strategy: 'uniform', skips: { max: 2 } } }, /^search\.skips: strategy: uniform decodes no/],
    [
      { search: { strategy: 'uniform', stop: { skipsMax: 2 } } },
      /^search\.stop: .*no cells that could collapse/,
    ],
    [
      { search: { strategy: 'uniform', auxiliarySkip: {} } },
      /^search\.auxiliarySkip: strategy: uniform has no/,
    ],
    [
      { search: { strategy: 'uniform', alphas: { learningRate: 0.01 } } },
      /^search\.alphas: strategy: uniform trains no alphas/,
    ],
    [
      { search: { strategy: 'uniform', evaluateEvery: 2 } },
      /^search\.evaluateEvery: strategy: uniform has no/,
    ],
    [{ search: { decode: 'best' } }, /^search\.decode: unknown decode .*one of raw, softmax, perturb/],
    [
      { search: { decode: 'perturb', stop: { skipsMax: 2 } } },
      /^search\.decode: perturb decodes what the last epoch/,
    ],
    [{ search: { probeEvery: 5 } }, /^search\.probeEvery: first order makes no finite difference/],
    [{ search: { order: 'second', force: true, probeEvery: 0 } }, /^search\.probeEvery: /],
    [{ search: { evaluateEvery: 0 } }, /^search\.evaluateEvery: /],
    [{ search: { evaluateEvery: 51 } }, /^search\.evaluateEvery: a search of 50 epochs has no epoch 51/],
    [{ search: { head: 'sharded' } }, /^search\.head: .*its head cannot be sharded/],
    [{ search: { weights: { until: 0.2 } } }, /^search\.weights\.until: the rate falls/],
    [{ supernet: { layers: 3 } }, /^supernet\.layers: below 4 layers two of the three reductions coincide/],
    [{ supernet: { channels: 5 } }, /^supernet\.channels: /],
    [{ distillation: { teacher: 't' } }, /^distillation: a search has no teacher/],
    [{ training: {} }, /^training: a search has `search` in place/],
    [{ workers: { max: 9 } }, /^workers\.max: 9 workers cannot share 8 shards/],
  ] as const)
    assert.match(problems(change), expected);
  assert.equal(problems({ search: { strategy: 'uniform' } }), 'it was taken');
  assert.equal(problems({ search: { order: 'second', shards: 8, batch: 32, force: true } }), 'it was taken');
  assert.equal(problems({ search: { decode: 'perturb', evaluateEvery: 50 } }), 'it was taken');
  assert.equal(problems({ search: { order: 'second', batch: 64, probeEvery: 5 } }), 'it was taken');
});
