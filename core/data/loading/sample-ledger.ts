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
import { type Schedule, stepsAtStage } from '../../spec/schedule.ts';
import { shardSamples } from './sampler.ts';

/** What determines the samples of a run. */
export interface Sampling {
  readonly schedule: Schedule;
  readonly seed: number;
}

/** Image indices that each shard of a step takes, in their order within the shard. */
export function stepImages(sampling: Sampling, step: number): Uint32Array[] {
  const { schedule, seed } = sampling;
  return Array.from({ length: schedule.shards }, (_, shard) =>
    Uint32Array.from(shardSamples({ schedule, seed, step, shard, flip: false }), (sample) => sample.index),
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
  const half = (hex: string, at: number) => Number.parseInt(hex.slice(at, at + 8), 16);
  return digestOfWords(
    Uint32Array.of(half(weightsDigest, 0), half(weightsDigest, 8), half(tag, 0), half(tag, 8)),
  );
}

/** The ledger before the first step: names what it is about. */
export function emptyLedger({ schedule, seed }: Sampling): string {
  const { images, batch, epochs } = schedule;
  return sha256Hex(`pocketfleet ledger 1\nimages ${images} batch ${batch} epochs ${epochs} seed ${seed}\n`);
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

/** The digest reads the bits alone, so it does not matter that some words are no numbers as float32. */
function digestOfWords(words: Uint32Array): string {
  return digest64(new Float32Array(words.buffer, words.byteOffset, words.length));
}
