// Looks at a data set before anything is spent on it: what it holds, and whether it can be trained on and verified with.
// Decides how thoroughly (every image of a small set, an even sample of a large one) and reports the first fault with its file;
// what makes a set malformed is decided where it is read. Loads no TensorFlow: the coordinator calls it at submit.

import { toFleetError } from '../errors.ts';
import type { DataSpec } from '../spec.ts';
import { type Dataset, openDataset, type Split } from './dataset.ts';
import { probeImage } from './image.ts';
import { IMAGE_BYTES } from './pixels.ts';

export interface DataFacts {
  readonly trainingImages: number;
  /** Identities of the training split: columns of the classifier head. */
  readonly classes: number;
  readonly heldOutImages: number;
  readonly heldOutIdentities: number;
}

/** Up to this many images are all decoded; of a larger set as many headers are read, evenly spread, and one image in ten of those is decoded. */
const DECODED_MAX = 20_000;

/** Throws a FleetError that names the field or file when the set cannot be used. */
export async function inspectData(spec: DataSpec): Promise<DataFacts> {
  const dataset = await openDataset(spec);
  try {
    if (spec.kind !== 'synthetic') await checkImages(dataset);
    return factsOf(dataset);
  } finally {
    await dataset.close();
  }
}

export function factsOf(dataset: Dataset): DataFacts {
  return {
    trainingImages: dataset.training.size,
    classes: dataset.classes,
    heldOutImages: dataset.heldOut.size,
    heldOutIdentities: dataset.heldOutIdentities,
  };
}

/** Labels of the held-out images, from which verification/pairs.ts draws its pairs. */
export async function heldOutLabels(spec: DataSpec): Promise<Int32Array> {
  const dataset = await openDataset(spec);
  try {
    return labelsOf(dataset.heldOut);
  } finally {
    await dataset.close();
  }
}

export function labelsOf(split: Split): Int32Array {
  return Int32Array.from({ length: split.size }, (_, index) => split.label(index));
}

async function checkImages(dataset: Dataset): Promise<void> {
  const splits = [dataset.training, dataset.heldOut];
  const total = dataset.training.size + dataset.heldOut.size;
  const looked = Math.min(total, DECODED_MAX);
  const decodeEach = total <= DECODED_MAX ? 1 : 10;
  // A few at a time: the library decodes in threads of its own, and one at a time would leave them idle.
  const lanes = 4;
  await Promise.all(
    Array.from({ length: lanes }, async (_, lane) => {
      const pixels = new Uint8Array(IMAGE_BYTES);
      for (let i = lane; i < looked; i += lanes) {
        const at = Math.floor((i * total) / looked);
        const split = at < splits[0]!.size ? splits[0]! : splits[1]!;
        const index = at < splits[0]!.size ? at : at - splits[0]!.size;
        if (i % decodeEach === 0) await split.read(index, pixels);
        else await probe(split, index);
      }
    }),
  );
}

async function probe(split: Split, index: number): Promise<void> {
  if (split.encoded === undefined) return;
  await probeImage(await split.encoded(index)).catch((caught: unknown) => {
    throw toFleetError(caught, `data.path: image ${split.nameOf(index)}`);
  });
}
