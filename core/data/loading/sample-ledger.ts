// Which samples were counted, as digests: one for each step, chained over a run's stages. Decides what the
// proof "each image of each epoch in exactly one committed step" consists of; workers keep it while they
// train, checkpoints and the journal carry it, and whoever holds the spec and the size of the data set
// computes it again (`pocketfleet ledger verify`).
//
// How a step's tag gets into a committed step: every member computes the tag of all B samples, compares what
// its own loader really delivered with it, and contributes under a digest of (weights, tag). Contributions
// under different digests are not summed but stop the run, so no sum exists whose shards were not agreed on
// down to the last sample.

import { digest64, sha256Hex } from '../../digest.ts';
import { FleetError } from '../../errors.ts';
import { type Half, halfSizes } from '../../search/halves.ts';
import { type Schedule, stepsAtStage } from '../../spec/schedule.ts';
import { shardSamples } from './sampler.ts';

/** What determines the samples of a run. */
export interface Sampling {
  readonly schedule: Schedule;
  readonly seed: number;
  /** The half of a search that the schedule is of; its indices count within the half. */
  readonly half?: Half;
}

/** Image indices that each shard of a step takes, in their order within the shard. */
export function stepImages(sampling: Sampling, step: number): Uint32Array[] {
  const { schedule, seed, half } = sampling;
  return Array.from({ length: schedule.shards }, (_, shard) =>
    Uint32Array.from(
      shardSamples({ schedule, seed, step, shard, half, flip: false }),
      (sample) => sample.index,
    ),
  );
}

/** 64-bit digest, 16 hex digits, of a step's samples: the epoch and the image of each position, in order. */
export function stepTag({ schedule }: Sampling, step: number, images: readonly Uint32Array[]): string {
  const words = new Uint32Array(2 * schedule.batch);
  let position = step * schedule.batch;
  let at = 0;
  for (const shard of images)
    for (const image of shard) {
      words[at++] = Math.floor(position++ / schedule.images);
      words[at++] = image;
    }
  return digestOfWords(words);
}

/**
 * Under what a member contributes: its weights at the start of the step and the samples that it counts in it.
 */
export function contributionDigest(weightsDigest: string, tag: string): string {
  return digestOfWords(Uint32Array.of(...wordsOf(weightsDigest), ...wordsOf(tag)));
}

/** The samplings of a search: the same steps over two halves. */
export type HalfSamplings = Readonly<Record<Half, Sampling>>;

/**
 * The samplings of a search over so many training images. `schedule`: of the half of the weights, whose epochs are
 * the search's. The other half has the same steps; where it is one image shorter, its epochs end a little earlier.
 */
export function halfSamplings(schedule: Schedule, seed: number, trainingImages: number): HalfSamplings {
  const { weights, alphas } = halfSizes(trainingImages);
  if (schedule.images !== weights)
    throw new FleetError(
      'internal',
      `the schedule is of ${schedule.images} images, but the half of the weights has ${weights}`,
    );
  return {
    weights: { schedule, seed, half: 'weights' },
    alphas: { schedule: { ...schedule, images: alphas }, seed, half: 'alphas' },
  };
}

/** The tag of a search's step from those of its two batches. */
export const pairTag = (weights: string, alphas: string): string =>
  digestOfWords(Uint32Array.of(...wordsOf(weights), ...wordsOf(alphas)));

/** The ledger before the first step: names what it is about. */
export function emptyLedger({ schedule, seed, half }: Sampling): string {
  const { images, batch, epochs } = schedule;
  const of = half === undefined ? '' : ` half ${half}`;
  return sha256Hex(
    `pocketfleet ledger 1\nimages ${images} batch ${batch} epochs ${epochs} seed ${seed}${of}\n`,
  );
}

/** The ledger after a stage: the one before it, then a tag for each of the stage's steps. 64 hex digits. */
export function ledgerAfter(before: string, stage: number, tags: readonly string[]): string {
  return sha256Hex(`${before}\nstage ${stage}\n${tags.join('\n')}\n`);
}

/** Steps [first, end) of a stage. */
export function stageSteps(
  schedule: Schedule,
  stage: number,
): { readonly first: number; readonly end: number } {
  return {
    first: stage === 1 ? 0 : stepsAtStage(schedule, stage - 1),
    end: stepsAtStage(schedule, stage),
  };
}

/** The two words of a 64-bit digest, the upper one first. */
const wordsOf = (hex: string): [number, number] => [
  Number.parseInt(hex.slice(0, 8), 16),
  Number.parseInt(hex.slice(8, 16), 16),
];

/** The digest reads the bits alone, so it does not matter that some words are no numbers as float32. */
function digestOfWords(words: Uint32Array): string {
  return digest64(new Float32Array(words.buffer, words.byteOffset, words.length));
}
