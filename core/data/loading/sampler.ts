// Which images a shard of a step takes, and which of them are mirrored. Decides that from counters alone, so
// that every worker computes the same samples for any (step, shard) without state.

import { FleetError } from '../../errors.ts';
import { flipBit, permutationAt } from '../../rng.ts';
import type { Schedule } from '../../spec/schedule.ts';

export interface Sample {
  /** Index of the image in the training split. */
  readonly index: number;
  /** Whether it is mirrored left to right. */
  readonly flip: boolean;
}

/** The B/V samples of one shard of one step, in their order within the shard. */
export function shardSamples(options: {
  schedule: Schedule;
  seed: number;
  step: number;
  shard: number;
  /** The run's augmentation switch: false mirrors nothing. */
  flip: boolean;
}): Sample[] {
  const { schedule, seed, step, shard } = options;
  if (!(shard >= 0 && shard < schedule.shards))
    throw new FleetError('outOfRange', `shard ${shard} of step ${step}: there are ${schedule.shards} shards`);
  const size = schedule.batch / schedule.shards;
  const first = step * schedule.batch + shard * size;
  return Array.from({ length: size }, (_, sample) => {
    const position = first + sample;
    const epoch = Math.floor(position / schedule.images);
    return {
      index: imageAt(schedule, { seed, epoch, place: position % schedule.images }),
      flip: options.flip && flipBit({ seed, epoch, step, shard, sample }),
    };
  });
}

/** The number of the permutation that says which images are chosen; epochs are far below it. */
const CHOICE = 0xffff_ffff;

/**
 * The image at a place of an epoch. Of a set of which a part is chosen it is the first places of one permutation, so
 * that a smaller part lies within a larger one.
 */
function imageAt(
  { images, setImages }: Schedule,
  { seed, epoch, place }: { readonly seed: number; readonly epoch: number; readonly place: number },
): number {
  const index = permutationAt({ seed, epoch, size: images, index: place });
  return setImages === undefined ? index : permutationAt({ seed, epoch: CHOICE, size: setImages, index });
}
