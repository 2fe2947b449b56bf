// Claims about worker/training/search-found.ts: what is evaluated at the ends of stages, over which images, and that
// neither the number of members nor an interruption changes it. Logits are a formula of alphas and image instead of a
// network; test/search/gang.ts makes the same claims with real passes over a real broker.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { shardSamples } from '../../../../core/data/loading/sampler.ts';
import { FleetError } from '../../../../core/errors.ts';
import { decodeAlphas } from '../../../../core/nn/decode.ts';
import { codeOf, genotypeOfText, keyOfCode } from '../../../../core/nn/genotype-code.ts';
import { alphasOf } from '../../../../core/nn/supernet.ts';
import { scoreLogits } from '../../../../core/search/logits-score.ts';
import { alphasWithout } from '../../../../core/search/one-hot.ts';
import { decodePerturbed, PERTURBATIONS } from '../../../../core/search/perturbation.ts';
import { skipConnections } from '../../../../core/search/policy.ts';
import type { SearchFound } from '../../../../core/spec/search.ts';
import { ALPHAS, stateDigest, vectorNamed } from '../../../../core/state-vectors.ts';
import type { Compute } from '../../../../worker/compute/client.ts';
import { createSums, joinSearch, type SearchGangOptions, tinySearch } from '../../../support/search-gang.ts';

const CLASSES = 6;
/** The half of the alphas has 21 images, and of 16 a step in 4 shards the second batch has 5: 4 and 1. */
const IMAGES = 43;
const HALF = 21;
const EPOCHS = 3;

const labelOf = (index: number) => index % CLASSES;

const loader: SearchGangOptions['loader'] = {
  async batch(request) {
    assert.equal(request.half?.half, 'alphas');
    const indices = Uint32Array.from(
      shardSamples({ ...request, half: request.half?.half }),
      (sample) => sample.index,
    );
    return { images: Uint8Array.from(indices), indices, labels: Int32Array.from(indices, labelOf) };
  },
};

/** [images, K] */
const logitsOf = (alphas: Float32Array, images: Uint8Array) =>
  Float32Array.from({ length: images.length * CLASSES }, (_, i) => {
    const label = i % CLASSES;
    const image = images[Math.floor(i / CLASSES)]!;
    const pull = alphas.reduce((sum, alpha, k) => sum + Math.max(alpha, -9) * Math.cos(k * (label + 2)), 0);
    return Math.cos(image * (label + 1)) + pull / 30;
  });

const compute = {
  async runGraph({ kind }: { kind: string }, [, alphas, , images]: readonly unknown[]) {
    assert.equal(kind, 'search-logits');
    return [logitsOf(alphas as Float32Array, images as Uint8Array)];
  },
  async writeInitialWeights() {},
} as Partial<Compute> as Compute;

const gangOf = (
  search: Record<string, unknown>,
  more: Partial<SearchGangOptions> & Pick<SearchGangOptions, 'counts'>,
) => {
  const plane = createSums();
  return joinSearch({
    ...{ classes: CLASSES, trainingImages: IMAGES, loader, compute, runId: 'run-1' },
    spec: tinySearch({ order: 'first', epochs: EPOCHS, shards: 4, ...search }),
    planes: () => plane,
    ...more,
  });
};

const foundBy = async (search: Record<string, unknown>, counts: readonly number[], stage: number) => {
  const members = await gangOf(search, { counts });
  const before = stateDigest(members[0]!.replica.vectors);
  const found = await Promise.all(members.map((member) => member.found(stage)));
  for (const { replica } of members) assert.equal(stateDigest(replica.vectors), before, 'nothing moves');
  for (const other of found) assert.deepEqual(other, found[0], 'all members find the same');
  return { found: found[0]!, alphas: vectorNamed(members[0]!.replica.vectors, ALPHAS) };
};

/** The accuracy and loss over the half, image by image. */
const dumbScore = (alphas: Float32Array) => {
  const images = Uint8Array.from({ length: HALF }, (_, index) => index);
  const { loss, right } = scoreLogits(logitsOf(alphas, images), [...images].map(labelOf));
  return { loss: loss / HALF, accuracy: Math.fround(right) / HALF };
};

const PLACEMENTS = [[4], [1, 3], [1, 2, 1], [1, 1, 1, 1]];

test('the half of the alphas is scored at the ends of every N-th epoch, each image once, the same by any members', async () => {
  const results: SearchFound[] = [];
  for (const counts of PLACEMENTS) {
    const { found, alphas } = await foundBy({ evaluateEvery: 2 }, counts, 2);
    results.push(found);
    const expected = dumbScore(alphas);
    assert.equal(found.evaluation!.accuracy, expected.accuracy);
    assert.ok(Math.abs(found.evaluation!.loss - expected.loss) < 1e-6);
  }
  for (const other of results) assert.deepEqual(other, results[0]);
  for (const stage of [1, 3])
    assert.equal((await foundBy({ evaluateEvery: 2 }, [4], stage)).found.evaluation, undefined);
});

test('perturb decodes the last epoch by what is lost without each op and edge, the same by any members', async () => {
  const genotypes = new Set<string>();
  for (const counts of PLACEMENTS) {
    const { found, alphas } = await foundBy({ decode: 'perturb' }, counts, EPOCHS);
    const accuracies = PERTURBATIONS.map((removal) => dumbScore(alphasWithout(alphas, removal)).accuracy);
    assert.equal(found.genotype, keyOfCode(codeOf(decodePerturbed(accuracies))));
    assert.equal(found.evaluation, undefined);
    genotypes.add(found.genotype);
    const raw = keyOfCode(codeOf(decodeAlphas(alphasOf(alphas), 'raw')));
    assert.notEqual(found.genotype, raw);
    assert.equal((await foundBy({ decode: 'perturb' }, counts, 1)).found.genotype, raw, 'before the end');
  }
  assert.equal(genotypes.size, 1);
});

test('the last epoch may have both, and the limit of skips holds for what perturb decodes', async () => {
  const both = await foundBy({ decode: 'perturb', evaluateEvery: 3 }, [3, 1], EPOCHS);
  const alone = await foundBy({ decode: 'perturb' }, [4], EPOCHS);
  assert.equal(both.found.genotype, alone.found.genotype);
  assert.equal(both.found.evaluation!.accuracy, dumbScore(both.alphas).accuracy);
  const limited = await foundBy({ decode: 'perturb', skips: { max: 0 } }, [4], EPOCHS);
  assert.equal(skipConnections(genotypeOfText(limited.found.genotype)), 0);
});

test('an evaluation that is broken off has moved nothing, and the next generation finds the same', async () => {
  const search = { decode: 'perturb', evaluateEvery: 1 };
  const undisturbed = await foundBy(search, [4], EPOCHS);
  for (const brokenOffAt of [0, 100, 400]) {
    const stop = new AbortController();
    let runs = 0;
    const breaking = {
      ...compute,
      async runGraph(...given: Parameters<Compute['runGraph']>) {
        if (runs++ === brokenOffAt) stop.abort(new FleetError('aborted', 'broken off'));
        return compute.runGraph(...given);
      },
    } as Compute;
    const members = await gangOf(search, { counts: [2, 2], compute: breaking, signal: stop.signal });
    const before = stateDigest(members[0]!.replica.vectors);
    const ended = await Promise.allSettled(members.map((member) => member.found(EPOCHS)));
    assert.deepEqual(new Set(ended.map(({ status }) => status)), new Set(['rejected']));
    assert.ok(runs > brokenOffAt, 'it was broken off on the way');
    for (const { replica } of members) assert.equal(stateDigest(replica.vectors), before);
    const replicas = [members[1]!.replica];
    const again = await gangOf(search, { counts: [4], generation: 2, replicas });
    assert.deepEqual(await again[0]!.found(EPOCHS), undisturbed.found);
  }
});
