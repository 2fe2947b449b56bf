// The thread that makes batches: reads or draws images, cuts and mirrors them, and hands the buffers over. Decides
// which decoded images it keeps: all until a bound, because a small set comes round every epoch.

import { workerData } from 'node:worker_threads';
import { LRUCache } from 'lru-cache';
import pLimit from 'p-limit';
import { FleetError } from '../../errors.ts';
import { type Halves, halvesOf } from '../../search/halves.ts';
import type { DataSpec } from '../../spec/data.ts';
import type { Roots } from '../../system/file-access.ts';
import { printable } from '../../text/printable.ts';
import { answerCalls } from '../../thread-calls.ts';
import { type Dataset, openDataset, type Split } from '../dataset.ts';
import { cutSquare, IMAGE_BYTES, mirror, type Pixels, SIDE, scaleShorter } from '../images/pixels.ts';
import { createDataCache, noDataCache } from '../inspection/data-cache.ts';
import { factsOf, labelsOf } from '../inspection/inspect.ts';
import type { RecordTable } from '../packs/record-table.ts';
import type { Batch, BatchRequest, DataCalls, HalvesRequest, OpenedSet } from './loader-messages.ts';
import { shardSamples } from './sampler.ts';

export interface LoaderThreadData {
  readonly data: DataSpec;
  readonly cacheDir: string;
  readonly cacheBytes: number;
  readonly table: RecordTable | undefined;
  readonly roots: Roots;
}

/**
 * Images of a split, 112 x 112 or, with a side, scaled to it by their shorter side. Decoded ones are kept up to a
 * bound and then stay: with a new permutation in each epoch, replacing the least recently used would hit less
 * often.
 */
type ReadCached = (index: number, side?: number) => Promise<Pixels>;

function cached(split: Split, budget: { left: number }): ReadCached {
  const kept = new Map<string, Pixels>();
  return async (index, side) => {
    const key = `${index}/${side}`;
    const known = kept.get(key);
    if (known) return known;
    const pixels =
      side === undefined ? await fitted(split, index) : scaleShorter(await split.decoded(index), side);
    const bytes = pixels.rgb.length;
    if (budget.left >= bytes) {
      budget.left -= bytes;
      kept.set(key, pixels);
    }
    return pixels;
  };
}

async function fitted(split: Split, index: number): Promise<Pixels> {
  const rgb = new Uint8Array(IMAGE_BYTES);
  await split.read(index, rgb);
  return { width: SIDE, height: SIDE, rgb };
}

interface Opened {
  readonly dataset: Dataset;
  readonly training: ReadCached;
  readonly heldOut: ReadCached;
  /** A division is made once, for the batches of all steps. */
  readonly halves: LRUCache<string, Halves>;
}

/** Divisions that a thread keeps: searches of different seeds that one worker has at a time. */
const HALVES_MAX = 4;

async function open({ data, cacheDir, cacheBytes, roots, table }: LoaderThreadData): Promise<Opened> {
  const cache = cacheDir === '' ? noDataCache : createDataCache(cacheDir);
  const dataset = await openDataset(data, { cache, roots, table });
  const budget = { left: cacheBytes };
  return {
    dataset,
    training: cached(dataset.training, budget),
    heldOut: cached(dataset.heldOut, budget),
    halves: new LRUCache({ max: HALVES_MAX }),
  };
}

function divided({ dataset, halves }: Opened, { seed, stratify }: HalvesRequest): Halves {
  const key = `${seed}/${stratify}`;
  const known = halves.get(key);
  if (known !== undefined) return known;
  const labels = labelsOf(dataset.training);
  const found = halvesOf({
    labels,
    seed,
    stratify,
    nameOf: (label) => printable(dataset.nameOfClass(label)),
  });
  halves.set(key, found);
  return found;
}

function describe({ dataset }: Opened): OpenedSet {
  const { labelMap, table } = dataset;
  return { facts: factsOf(dataset), heldOutLabels: labelsOf(dataset.heldOut), labelMap, table };
}

async function makeBatch(opened: Opened, request: BatchRequest): Promise<Batch> {
  const { dataset, training } = opened;
  const { half, cropFrom } = request;
  const places = half && divided(opened, { seed: half.seed, stratify: 'even' })[half.half];
  const { images: planned, setImages = planned } = request.schedule;
  const there = places?.length ?? dataset.training.size;
  if (setImages !== there)
    throw new FleetError(
      'failedPrecondition',
      `the run was planned for ${setImages} training images${half === undefined ? '' : ` in the half of the ${half.half}`}, but this worker's data set has ${there}`,
    );
  const samples = shardSamples({ ...request, half: half?.half, crop: cropFrom !== undefined });
  const images = new Uint8Array(samples.length * IMAGE_BYTES);
  const whole = new Uint8Array(IMAGE_BYTES);
  const imageOf = (index: number) => places?.[index] ?? index;
  await together(samples.length, async (i) => {
    const { index, flip, crop } = samples[i]!;
    const into = images.subarray(i * IMAGE_BYTES, (i + 1) * IMAGE_BYTES);
    const pixels = await training(imageOf(index), cropFrom);
    // Nothing awaits between the cut and the mirror, so one image of room serves all.
    const upright = flip ? whole : into;
    if (crop === undefined) upright.set(pixels.rgb);
    else cutSquare(pixels, crop, upright);
    if (flip) mirror(upright, into);
  });
  const labels = Int32Array.from(samples, ({ index }) => dataset.training.label(imageOf(index)));
  const indices = Uint32Array.from(samples, ({ index }) => index);
  return { images, indices, labels };
}

async function readHeldOut(
  { heldOut }: Opened,
  { from, count }: DataCalls['held-out']['ask'],
): Promise<Uint8Array<ArrayBuffer>> {
  const images = new Uint8Array(count * IMAGE_BYTES);
  await together(count, async (i) => images.set((await heldOut(from + i)).rgb, i * IMAGE_BYTES));
  return images;
}

/**
 * Four at once: decoding waits for the disk and for the image library's threads. Order of completion does not
 * matter.
 */
async function together(count: number, work: (i: number) => Promise<void>): Promise<void> {
  await pLimit(4).map(Array(count).keys(), work);
}

const opened = open(workerData as LoaderThreadData);

// A failure to open fails each call; before the first call it must not end the thread as an unhandled
// rejection.
opened.catch(() => undefined);

answerCalls<DataCalls>({
  answers: {
    facts: async () => describe(await opened),
    batch: async (request) => makeBatch(await opened, request),
    async halves(request) {
      const { weights, alphas, single } = divided(await opened, request);
      return { weights: weights.length, alphas: alphas.length, single };
    },
    'held-out': async (range) => readHeldOut(await opened, range),
  },
  transfer: (answer) => {
    if (answer instanceof Uint8Array) return [answer.buffer];
    return 'images' in answer ? [answer.images.buffer] : [];
  },
});
