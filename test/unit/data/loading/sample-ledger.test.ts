import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import {
  contributionDigest,
  emptyLedger,
  halfSamplings,
  ledgerAfter,
  pairTag,
  type Sampling,
  stageSteps,
  stepImages,
  stepTag,
} from '../../../../core/data/loading/sample-ledger.ts';
import { createLedger } from '../../../../worker/training/step-ledger.ts';

const samplingOf = (options: {
  images: number;
  batch: number;
  shards: number;
  epochs: number;
  seed: number;
}): Sampling => {
  const { seed, ...schedule } = options;
  const stepsTotal = Math.ceil((schedule.epochs * schedule.images) / schedule.batch);
  return { schedule: { ...schedule, stepsTotal, roundSteps: 1 }, seed };
};
const anySampling = fc
  .record({
    shards: fc.constantFrom(1, 2, 4, 8),
    each: fc.integer({ min: 1, max: 4 }),
    extra: fc.integer({ min: 0, max: 40 }),
    epochs: fc.integer({ min: 1, max: 4 }),
    seed: fc.integer({ min: 0, max: 0xffff_ffff }),
  })
  .map(({ shards, each, extra, epochs, seed }) =>
    samplingOf({ shards, batch: shards * each, images: shards * each + extra, epochs, seed }),
  );

/** The ledger by plain recomputation from the first step. */
function plainLedger(sampling: Sampling, stage: number): string {
  let ledger = emptyLedger(sampling);
  for (let k = 1; k <= stage; k++) {
    const { first, end } = stageSteps(sampling.schedule, k);
    const tags: string[] = [];
    for (let step = first; step < end; step++) tags.push(stepTag(sampling, step, stepImages(sampling, step)));
    ledger = ledgerAfter(ledger, k, tags);
  }
  return ledger;
}

test('the stages of a run cover its steps once, and its steps count each image of each epoch once', () => {
  fc.assert(
    fc.property(anySampling, (sampling) => {
      const { schedule } = sampling;
      const steps: number[] = [];
      for (let stage = 1; stage <= schedule.epochs; stage++) {
        const { first, end } = stageSteps(schedule, stage);
        for (let step = first; step < end; step++) steps.push(step);
      }
      assert.deepEqual(
        steps,
        Array.from({ length: schedule.stepsTotal }, (_, i) => i),
      );
      const counted = steps.flatMap((step) => stepImages(sampling, step).flatMap((shard) => [...shard]));
      for (let epoch = 0; epoch < schedule.epochs; epoch++) {
        const images = counted.slice(epoch * schedule.images, (epoch + 1) * schedule.images);
        assert.deepEqual(
          images.sort((a, b) => a - b),
          Array.from({ length: schedule.images }, (_, i) => i),
        );
      }
    }),
  );
});

test('the tag of a step does not depend on how many shards it has, and changes with any sample, epoch or step', () => {
  const common = { images: 40, batch: 16, epochs: 5, seed: 3 };
  const tags = [1, 2, 4, 8].map((shards) => {
    const sampling = samplingOf({ ...common, shards });
    return stepTag(sampling, 7, stepImages(sampling, 7));
  });
  assert.equal(new Set(tags).size, 1);
  const sampling = samplingOf({ ...common, shards: 4 });
  const images = stepImages(sampling, 7);
  for (let shard = 0; shard < 4; shard++)
    for (let i = 0; i < 4; i++) {
      const changed = images.map((list) => list.slice());
      changed[shard]![i] = changed[shard]![i]! ^ 1;
      assert.notEqual(stepTag(sampling, 7, changed), tags[0]);
    }
  const swapped = [images[1]!, images[0]!, images[2]!, images[3]!];
  assert.notEqual(stepTag(sampling, 7, swapped), tags[0], 'order counts');
  // The same images in another epoch: 40 images are 2.5 steps, so step 12 begins where step 7 does, two epochs later.
  assert.notEqual(stepTag(sampling, 12, images), tags[0]);
});

test('members contribute under one digest only if weights and samples agree', () => {
  const digest = contributionDigest('0123456789abcdef', 'fedcba9876543210');
  assert.match(digest, /^[0-9a-f]{16}$/);
  assert.notEqual(digest, contributionDigest('0123456789abcdee', 'fedcba9876543210'));
  assert.notEqual(digest, contributionDigest('0123456789abcdef', 'fedcba9876543211'));
  assert.notEqual(digest, contributionDigest('fedcba9876543210', '0123456789abcdef'));
});

test('a worker keeps the same ledger whether it was there from the first step or joined anywhere, with or without stored ones', async () => {
  await fc.assert(
    fc.asyncProperty(anySampling, fc.nat(), fc.boolean(), async (sampling, seed, isStored) => {
      const { schedule } = sampling;
      const joined = seed % (schedule.stepsTotal + 1);
      const ledger = createLedger({ own: sampling });
      const stored = async (stage: number) => (isStored ? plainLedger(sampling, stage) : undefined);
      for (let step = joined; step <= schedule.stepsTotal; step++) {
        for (let stage = 1; stage <= schedule.epochs; stage++)
          if (stageSteps(schedule, stage).end === step && step > joined) {
            // The next step begins while the stage is stored.
            ledger.samplesOf(step);
            assert.equal(await ledger.digestAfter(stage, stored), plainLedger(sampling, stage));
          }
        if (step < schedule.stepsTotal) ledger.samplesOf(step);
      }
    }),
    { numRuns: 40 },
  );
});

test('the two halves of a search are counted once an epoch each, in orders and chains of their own', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 16, max: 90 }),
      fc.constantFrom(1, 2, 4),
      fc.nat(0xffff_ffff),
      (trainingImages, shards, seed) => {
        const batch = 2 * shards;
        const images = Math.ceil(trainingImages / 2);
        const { schedule } = samplingOf({ images, batch, shards, epochs: 3, seed });
        const halves = halfSamplings(schedule, seed, trainingImages);
        assert.equal(halves.weights.schedule.images + halves.alphas.schedule.images, trainingImages);
        for (const sampling of [halves.weights, halves.alphas]) {
          const counted = Array.from({ length: schedule.stepsTotal }, (_, step) =>
            stepImages(sampling, step).flatMap((shard) => [...shard]),
          ).flat();
          const size = sampling.schedule.images;
          for (let epoch = 0; epoch < 3; epoch++) {
            const images = counted.slice(epoch * size, (epoch + 1) * size);
            assert.deepEqual(
              images.sort((a, b) => a - b),
              Array.from({ length: size }, (_, i) => i),
            );
          }
        }
        assert.notDeepEqual(
          Array.from({ length: 8 }, (_, step) => stepImages(halves.weights, step)).flat(),
          Array.from({ length: 8 }, (_, step) => stepImages(halves.alphas, step)).flat(),
        );
        const ledgers = [halves.weights, halves.alphas, { schedule, seed }].map((sampling) =>
          plainLedger(sampling, 3),
        );
        assert.equal(new Set(ledgers).size, 3);
      },
    ),
    { numRuns: 30 },
  );
});

test('the tag of a search step changes with the batch of either half', () => {
  const [one, other] = ['0123456789abcdef', 'fedcba9876543210'];
  assert.match(pairTag(one, other), /^[0-9a-f]{16}$/);
  assert.equal(new Set([pairTag(one, other), pairTag(other, one), pairTag(one, one)]).size, 3);
});
