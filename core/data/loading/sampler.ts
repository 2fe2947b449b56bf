// Which images a shard of a step takes, which of them are mirrored, and where each is cut out. Decides that from
// counters alone, so that every worker computes the same samples for any (step, shard) without state. The two
// halves of a search are two sequences with streams of their own: one permutation for both would put the same
// people at the same places of both.

import { FleetError } from '../../errors.ts';
import { cropPlace, flipBit, permutationAt } from '../../rng.ts';
import type { Half } from '../../search/halves.ts';
import type { Schedule } from '../../spec/schedule.ts';

export interface Sample {
  /** Index of the image in the training split, or in the half that is sampled. */
  readonly index: number;
  /** Whether it is mirrored left to right. */
  readonly flip: boolean;
  /** Where it is cut out of the scaled image, across and down, each in [0, 1); absent: its centre. */
  readonly crop?: readonly [number, number];
}

/** The B/V samples of one shard of one step, in their order within the shard. */
export function shardSamples(options: {
  schedule: Schedule;
  seed: number;
  step: number;
  shard: number;
  /** The run's augmentation switch: false mirrors nothing. */
  flip: boolean;
  /** Whether each sample is cut out at a place of its own. */
  crop?: boolean;
  /** The half of the images that the schedule is of; absent: it is of all. */
  half?: Half | undefined;
}): Sample[] {
  const { schedule, seed, step, shard, half, crop = false } = options;
  if (!(shard >= 0 && shard < schedule.shards))
    throw new FleetError('outOfRange', `shard ${shard} of step ${step}: there are ${schedule.shards} shards`);
  const size = schedule.batch / schedule.shards;
  const first = step * schedule.batch + shard * size;
  const stream = (purpose: string) => (half === undefined ? purpose : `${purpose} of the ${half} half`);
  const [order, flips, crops] = [stream('permutation'), stream('flip'), stream('crop')];
  return Array.from({ length: size }, (_, sample) => {
    const position = first + sample;
    const epoch = Math.floor(position / schedule.images);
    const at = { seed, epoch, step, shard, sample };
    return {
      index: imageAt(schedule, { seed, epoch, place: position % schedule.images, stream: order }),
      flip: options.flip && flipBit({ ...at, stream: flips }),
      ...(crop ? { crop: cropPlace({ ...at, stream: crops }) } : {}),
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
  at: { readonly seed: number; readonly epoch: number; readonly place: number; readonly stream: string },
): number {
  const { seed, stream } = at;
  const index = permutationAt({ seed, stream, epoch: at.epoch, size: images, index: at.place });
  return setImages === undefined
    ? index
    : permutationAt({ seed, stream, epoch: CHOICE, size: setImages, index });
}
