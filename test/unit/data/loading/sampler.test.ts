import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { shardSamples } from '../../../../core/data/loading/sampler.ts';
import { type Schedule, scheduleOf } from '../../../../core/spec/schedule.ts';
import type { TrainingSpec } from '../../../../core/spec/training.ts';

const schedule = (images: number, batch: number, shards: number, epochs: number): Schedule => ({
  images,
  batch,
  shards,
  epochs,
  stepsTotal: Math.ceil((epochs * images) / batch),
  roundSteps: 1,
});

test('every image of every epoch is taken exactly once, also where steps straddle epochs', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 90 }),
      fc.constantFrom(1, 2, 4),
      fc.integer({ min: 1, max: 9 }),
      (images, shards, size) => {
        const plan = schedule(images, shards * size, shards, 3);
        const taken: number[] = [];
        for (let step = 0; step < plan.stepsTotal; step++)
          for (let shard = 0; shard < shards; shard++)
            for (const sample of shardSamples({ schedule: plan, seed: 9, step, shard, flip: true }))
              taken.push(sample.index);
        for (let epoch = 0; epoch < 3; epoch++) {
          const one = taken.slice(epoch * images, (epoch + 1) * images).sort((a, b) => a - b);
          assert.deepEqual(
            one,
            Array.from({ length: images }, (_, i) => i),
          );
        }
      },
    ),
    { numRuns: 60 },
  );
});

test('a part of the images is the same one in each epoch, and a smaller part lies within a larger one', () => {
  const training = { batch: 4, shards: 2, epochs: 3, sync: { kind: 'every-step' } } as TrainingSpec;
  const chosen = (fraction: number | undefined) => {
    const plan = scheduleOf({ ...training, ...(fraction === undefined ? {} : { fraction }) }, 64);
    const taken = Array.from({ length: plan.stepsTotal }, (_, step) =>
      [0, 1].flatMap((shard) => shardSamples({ schedule: plan, seed: 5, step, shard, flip: false })),
    );
    const all = taken.flat().map(({ index }) => index);
    const epochs = [0, 1, 2].map((epoch) => all.slice(epoch * plan.images, (epoch + 1) * plan.images));
    const sets = epochs.map((epoch) => [...epoch].sort((a, b) => a - b));
    assert.deepEqual([sets[1], sets[2]], [sets[0], sets[0]]);
    assert.notDeepEqual(epochs[0], epochs[1], 'each epoch has an order of its own');
    const set = new Set(sets[0]);
    assert.equal(set.size, plan.images, 'each once');
    return set;
  };
  const [eighth, quarter, half, whole] = [0.125, 0.25, 0.5, undefined].map(chosen);
  assert.deepEqual([eighth!.size, quarter!.size, half!.size, whole!.size], [8, 16, 32, 64]);
  for (const [small, large] of [
    [eighth, quarter],
    [quarter, half],
    [half, whole],
  ] as const)
    assert.ok([...small!].every((image) => large!.has(image)));
  assert.notDeepEqual(
    [...half!].sort((a, b) => a - b),
    Array.from({ length: 32 }, (_, i) => i),
    'not the first ones',
  );
});

test('the images of a step do not depend on how many shards it is cut into', () => {
  const step = (shards: number) =>
    Array.from({ length: shards }, (_, shard) =>
      shardSamples({ schedule: schedule(101, 32, shards, 2), seed: 4, step: 3, shard, flip: false }),
    )
      .flat()
      .map((sample) => sample.index);
  assert.deepEqual(step(1), step(8));
  assert.deepEqual(step(2), step(16));
});

test('about half of the samples are mirrored, and none when flipping is off', () => {
  const plan = schedule(4000, 400, 8, 1);
  let mirrored = 0;
  for (let step = 0; step < 10; step++)
    for (let shard = 0; shard < 8; shard++)
      for (const sample of shardSamples({ schedule: plan, seed: 1, step, shard, flip: true }))
        mirrored += sample.flip ? 1 : 0;
  // 4000 fair bits: mean 2000, standard deviation 32.
  assert.ok(Math.abs(mirrored - 2000) < 160, `${mirrored}`);
  const off = shardSamples({ schedule: plan, seed: 1, step: 0, shard: 0, flip: false });
  assert.ok(off.every((sample) => !sample.flip));
});

test('places of cuts are uniform, differ between halves, and none are drawn where nothing is cut', () => {
  const plan = schedule(4000, 400, 8, 1);
  const cuts = (half: 'weights' | 'alphas') =>
    Array.from({ length: 10 }, (_, step) =>
      [0, 1, 2, 3, 4, 5, 6, 7].flatMap((shard) =>
        shardSamples({ schedule: plan, seed: 1, step, shard, flip: false, crop: true, half }),
      ),
    )
      .flat()
      .map(({ crop }) => crop!);
  const places = cuts('weights');
  for (const axis of [0, 1] as const) {
    // 4000 draws of 17 places: 235 each, standard deviation 15.
    const counts = new Uint32Array(17);
    for (const place of places) counts[Math.floor(place[axis] * 17)]! += 1;
    assert.ok(
      counts.every((count) => Math.abs(count - 235) < 75),
      counts.join(' '),
    );
  }
  assert.notDeepEqual(cuts('alphas').slice(0, 3), places.slice(0, 3));
  const whole = shardSamples({ schedule: plan, seed: 1, step: 0, shard: 0, flip: false, half: 'weights' });
  assert.ok(whole.every((sample) => !('crop' in sample)));
});

test('a shard that does not exist is refused', () => {
  assert.throws(
    () => shardSamples({ schedule: schedule(10, 4, 2, 1), seed: 1, step: 0, shard: 2, flip: true }),
    /shard 2 of step 0: there are 2 shards/,
  );
});
