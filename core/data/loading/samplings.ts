// What determines the samples of a run: one sequence over its images, or of a search one over each half.
// Decides it from the spec and the number of training images.

import { sha256Hex } from '../../digest.ts';
import type { RunSpec } from '../../spec/run.ts';
import { scheduleOf } from '../../spec/schedule.ts';
import { orderOf } from '../../spec/training.ts';
import { emptyLedger, halfSamplings, pairTag, type Sampling, stepImages, stepTag } from './sample-ledger.ts';

/** The sequences of a run. */
export interface Samplings {
  /** Its schedule is the run's. */
  readonly own: Sampling;
  /** Of a search: the sequence over the half of the alphas. */
  readonly alphas?: Sampling;
}

/** The sequences of a run over a set of so many training images. */
export function samplingsOf(spec: Pick<RunSpec, 'training' | 'search'>, setImages: number): Samplings {
  const schedule = scheduleOf(spec.training, setImages);
  const seed = orderOf(spec.training);
  if (spec.search === undefined) return { own: { schedule, seed } };
  // The half is a set of its own.
  const { setImages: _, ...ofHalf } = schedule;
  const { weights, alphas } = halfSamplings(ofHalf, seed, setImages);
  return { own: weights, alphas };
}

/** The images that a step counts, by sequence and shard, and the tag that stands for all of them. */
export interface StepSamples {
  readonly tag: string;
  readonly own: readonly Uint32Array[];
  readonly alphas?: readonly Uint32Array[];
}

/** The samples of a step. */
export function stepSamples({ own, alphas }: Samplings, step: number): StepSamples {
  const images = stepImages(own, step);
  const tag = stepTag(own, step, images);
  if (alphas === undefined) return { tag, own: images };
  const others = stepImages(alphas, step);
  return { tag: pairTag(tag, stepTag(alphas, step, others)), own: images, alphas: others };
}

/** The ledger of a run before its first step. */
export function firstLedger({ own, alphas }: Samplings): string {
  if (alphas === undefined) return emptyLedger(own);
  return sha256Hex(`${emptyLedger(own)}\n${emptyLedger(alphas)}\n`);
}
