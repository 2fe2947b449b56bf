// Whether the images of a set can be decoded. Decides which are looked at (all, or an even sample of a large
// set), how many at once, and how many pixels may be in memory at once, because a file of 200 kB may hold 67
// million of them. Collects what is wrong instead of ending at the first fault, so that a person repairs a
// set once.

import { FleetError, toFleetError } from '../../errors.ts';
import { printable } from '../../text/printable.ts';
import type { Source } from '../dataset.ts';
import type { DataCache } from '../inspection/data-cache.ts';
import { identityKey } from '../inspection/set-identity.ts';
import type { ProgressPace } from '../progress-pace.ts';
import { SIDE } from './pixels.ts';

export interface BadImage {
  /** Place in the whole set. */
  readonly index: number;
  /** A file, or a record's key. */
  readonly name: string;
  readonly reason: string;
}

export interface ImageCheck {
  /** Of the whole set. */
  readonly images: number;
  /** How many were looked at. */
  readonly looked: number;
  /** In rising order of place. */
  readonly bad: readonly BadImage[];
  /** Of those looked at, how many have another size than 112 x 112 and are scaled and cut. */
  readonly resized: number;
}

/**
 * Up to this many images are all decoded. Of a larger set as many headers are read, evenly spread, and one
 * image in ten of those is decoded.
 */
const DECODED_MAX = 20_000;
/** Corrupt images; a set with more is not the set that was meant, and a list of them would not help. */
const BAD_MAX = 100_000;
/** Pixels that are decoded at once; a larger image is decoded alone. */
const PIXELS_AT_ONCE = 1 << 23;
const FORMAT = 'images 2';

/** `all`: every image, however many there are. `lanes`: how many are in hand at once. */
export async function checkImages(
  source: Source,
  options: {
    readonly all: boolean;
    readonly lanes: number;
    readonly cache: DataCache;
    readonly pace: ProgressPace;
    readonly decodedMax?: number | undefined;
  },
): Promise<ImageCheck> {
  const { cache, pace, lanes, decodedMax = DECODED_MAX } = options;
  const all = options.all || source.size <= decodedMax;
  const content = await source.contentKey!();
  const keyOf = (depth: 'all' | 'sample') => identityKey([FORMAT, depth, content]);
  for (const depth of all ? (['all'] as const) : (['all', 'sample'] as const)) {
    const known = cache.read(keyOf(depth))?.head as (ImageCheck & { format?: string }) | undefined;
    // Equal content may lie in another folder than when it was looked at.
    if (known?.format === FORMAT)
      return { ...known, bad: known.bad.map((image) => ({ ...image, name: source.nameOf(image.index) })) };
  }
  const check = await lookAt(source, { looked: all ? source.size : decodedMax, lanes, pace });
  if ((await source.contentKey!()) !== content)
    throw new FleetError('aborted', 'data.path: the files changed while they were looked at; try again');
  cache.write(keyOf(all ? 'all' : 'sample'), { format: FORMAT, ...check }, []);
  return check;
}

async function lookAt(
  source: Source,
  { looked, lanes, pace }: { readonly looked: number; readonly lanes: number; readonly pace: ProgressPace },
): Promise<ImageCheck> {
  // Loaded only when there is an image to look at, because a result from the cache needs no image library.
  const { checkImage, imageSize } = await import('./image.ts');
  const total = source.size;
  const all = looked === total;
  const bad = new Map<number, BadImage>();
  const note = (index: number, caught: unknown) => {
    const error = toFleetError(caught);
    // Only these are faults of the image; a failing disk or a file without permission is not.
    if (error.code !== 'invalidArgument') throw named(source, index, error);
    bad.set(index, { index, name: source.nameOf(index), reason: error.message });
    if (bad.size > BAD_MAX)
      throw new FleetError(
        'invalidArgument',
        `data.path: more than ${BAD_MAX} images are corrupt, the first ${printable(source.nameOf(Math.min(...bad.keys())))}: ${[...bad.values()][0]!.reason}`,
      );
  };
  const gate = createGate(PIXELS_AT_ONCE);
  let [next, done, resized] = [0, 0, 0];
  const lane = async () => {
    while (next < looked) {
      const i = next++;
      const index = all ? i : Math.floor((i * total) / looked);
      try {
        const bytes = await source.encoded!(index);
        const size = await imageSize(bytes);
        if (size.width !== SIDE || size.height !== SIDE) resized += 1;
        if (all || i % 10 === 0) await gate.through(size.width * size.height, () => checkImage(bytes, size));
      } catch (caught) {
        note(index, caught);
      }
      done += 1;
      await pace.step({ doing: 'looking at images', done, total: looked, unit: 'images' });
    }
  };
  for (const index of source.broken ?? [])
    await source.encoded!(index).catch((caught) => note(index, caught));
  await Promise.all(Array.from({ length: lanes }, lane));
  return { images: total, looked, bad: [...bad.values()].sort((a, b) => a.index - b.index), resized };
}

function named(source: Source, index: number, error: FleetError): FleetError {
  return error.message.startsWith('data.path:')
    ? error
    : toFleetError(error, `data.path: image ${printable(source.nameOf(index))}`);
}

/**
 * Limits work in hand by its weights together; work heavier than the limit is alone. First come, first
 * served.
 */
function createGate(limit: number) {
  let inside = 0;
  const waiting: { weight: number; enter(): void }[] = [];
  const admit = () => {
    for (let first = waiting[0]; first !== undefined; first = waiting[0]) {
      if (inside > 0 && inside + first.weight > limit) return;
      waiting.shift();
      inside += first.weight;
      first.enter();
    }
  };
  return {
    async through<T>(weight: number, work: () => Promise<T>): Promise<T> {
      await new Promise<void>((enter) => {
        waiting.push({ weight, enter });
        admit();
      });
      try {
        return await work();
      } finally {
        inside -= weight;
        admit();
      }
    },
  };
}
