// The thread that makes batches: reads or draws images, mirrors them, and hands the buffers over. Decides
// which decoded images it keeps: all until a bound, because a small set comes round every epoch.

import { workerData } from 'node:worker_threads';
import pLimit from 'p-limit';
import { FleetError } from '../../errors.ts';
import type { DataSpec } from '../../spec/data.ts';
import type { Roots } from '../../system/file-access.ts';
import { answerCalls } from '../../thread-calls.ts';
import { type Dataset, openDataset, type Split } from '../dataset.ts';
import { IMAGE_BYTES, mirror } from '../images/pixels.ts';
import { createDataCache, noDataCache } from '../inspection/data-cache.ts';
import { factsOf, labelsOf } from '../inspection/inspect.ts';
import type { RecordTable } from '../packs/record-table.ts';
import type { Batch, BatchRequest, DataCalls, OpenedSet } from './loader-messages.ts';
import { shardSamples } from './sampler.ts';

export interface LoaderThreadData {
  readonly data: DataSpec;
  readonly cacheDir: string;
  readonly cacheBytes: number;
  readonly table: RecordTable | undefined;
  readonly roots: Roots;
}

/**
 * Pixels of a split's images. It fills up to the bound and then stays: with a new permutation in each epoch,
 * replacing the least recently used would hit less often.
 */
type ReadCached = (index: number) => Promise<Uint8Array>;

function cached(split: Split, budget: { left: number }): ReadCached {
  const kept = new Map<number, Uint8Array>();
  return async (index) => {
    const known = kept.get(index);
    if (known) return known;
    const pixels = new Uint8Array(IMAGE_BYTES);
    await split.read(index, pixels);
    if (budget.left >= IMAGE_BYTES) {
      budget.left -= IMAGE_BYTES;
      kept.set(index, pixels);
    }
    return pixels;
  };
}

interface Opened {
  readonly dataset: Dataset;
  readonly training: ReadCached;
  readonly heldOut: ReadCached;
}

async function open({ data, cacheDir, cacheBytes, roots, table }: LoaderThreadData): Promise<Opened> {
  const cache = cacheDir === '' ? noDataCache : createDataCache(cacheDir);
  const dataset = await openDataset(data, { cache, roots, table });
  const budget = { left: cacheBytes };
  return {
    dataset,
    training: cached(dataset.training, budget),
    heldOut: cached(dataset.heldOut, budget),
  };
}

function describe({ dataset }: Opened): OpenedSet {
  const { labelMap, table } = dataset;
  return { facts: factsOf(dataset), heldOutLabels: labelsOf(dataset.heldOut), labelMap, table };
}

async function makeBatch({ dataset, training }: Opened, request: BatchRequest): Promise<Batch> {
  const { images: planned, setImages = planned } = request.schedule;
  if (setImages !== dataset.training.size)
    throw new FleetError(
      'failedPrecondition',
      `the run was planned for ${setImages} training images, but this worker's data set has ${dataset.training.size}`,
    );
  const samples = shardSamples(request);
  const images = new Uint8Array(samples.length * IMAGE_BYTES);
  await together(samples.length, async (i) => {
    const { index, flip } = samples[i]!;
    const into = images.subarray(i * IMAGE_BYTES, (i + 1) * IMAGE_BYTES);
    const pixels = await training(index);
    if (flip) mirror(pixels, into);
    else into.set(pixels);
  });
  const labels = Int32Array.from(samples, ({ index }) => dataset.training.label(index));
  const indices = Uint32Array.from(samples, ({ index }) => index);
  return { images, indices, labels };
}

async function readHeldOut(
  { heldOut }: Opened,
  { from, count }: DataCalls['held-out']['ask'],
): Promise<Uint8Array<ArrayBuffer>> {
  const images = new Uint8Array(count * IMAGE_BYTES);
  await together(count, async (i) => images.set(await heldOut(from + i), i * IMAGE_BYTES));
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
    'held-out': async (range) => readHeldOut(await opened, range),
  },
  transfer: (answer) => {
    if (answer instanceof Uint8Array) return [answer.buffer];
    return 'images' in answer ? [answer.images.buffer] : [];
  },
});
