// A look at a data set before anything is spent on it: what it holds, and whether it can be trained on and
// verified with. Decides what happens to images that are corrupt: the set is refused with their names, or
// with `onCorrupt: skip` they are left out. Loads no TensorFlow.

import { FleetError } from '../../errors.ts';
import { type DataSpec, SKIPPED_TEXT_MAX } from '../../spec/data.ts';
import type { Roots } from '../../system/file-access.ts';
import { printable } from '../../text/printable.ts';
import { type Dataset, openSource, type Source, type Split, splitSource } from '../dataset.ts';
import { checkImages, type ImageCheck } from '../images/image-check.ts';
import { createProgressPace, type ProgressPace } from '../progress-pace.ts';
import { type DataCache, noDataCache } from './data-cache.ts';
import { type DataFacts, type Inspection, inspectDrawn } from './inspection.ts';
import { identityKey } from './set-identity.ts';
import { type SkippedImages, skippedImages, skippedPlaces } from './skipped.ts';

export interface InspectOptions {
  readonly cache?: DataCache;
  /** Folders beneath which files may be read; absent: everywhere. */
  readonly roots?: Roots | undefined;
  readonly pace?: ProgressPace;
  /** Images in hand at once; the library decodes in as many threads as its pool has. */
  readonly lanes?: number;
  /** Up to this many images are all decoded. */
  readonly decodedMax?: number;
}

/** Corrupt images that an error names. */
const NAMED_MAX = 20;

/** Throws a FleetError that names the field or file when the set cannot be used. */
export async function inspectData(spec: DataSpec, options: InspectOptions = {}): Promise<Inspection> {
  if (spec.kind === 'synthetic') return inspectDrawn(spec);
  const { cache = noDataCache, pace = createProgressPace(), lanes = 4, decodedMax } = options;
  const source = await openSource(spec, { cache, pace, roots: options.roots, allowBroken: true });
  try {
    const skip = spec.onCorrupt === 'skip';
    const check = await checkImages(source, { all: skip, lanes, cache, pace, decodedMax });
    if (!skip && check.bad.length > 0) throw corruptImages(check);
    const skipped = skip ? skippedOf(check, spec.skipped) : undefined;
    const dataset = splitSource(source, spec.holdout, skippedPlaces(skipped));
    return {
      facts: factsOf(dataset),
      digest: await keptDigest(source, { lanes, cache }),
      heldOutSizes: sizesOf(dataset),
      ...(skipped === undefined ? {} : { skipped }),
      notes: notesOf(source, check),
    };
  } finally {
    await source.close();
  }
}

const DIGEST_FORMAT = 'digest 1';

/** Reads every byte of the set once, and again only when a file of it has changed. */
async function keptDigest(
  source: Source,
  { lanes, cache }: { readonly lanes: number; readonly cache: DataCache },
): Promise<string> {
  const content = await source.contentKey!();
  const key = identityKey([DIGEST_FORMAT, content]);
  const known = cache.read(key)?.head as { digest?: string } | undefined;
  if (known?.digest !== undefined) return known.digest;
  const digest = await source.contentDigest!(lanes);
  if ((await source.contentKey!()) !== content)
    throw new FleetError('aborted', 'data.path: the files changed while they were read; try again');
  cache.write(key, { digest }, []);
  return digest;
}

export function factsOf(dataset: Dataset): DataFacts {
  return {
    trainingImages: dataset.training.size,
    classes: dataset.classes,
    heldOutImages: dataset.heldOut.size,
    heldOutIdentities: dataset.heldOutIdentities,
  };
}

export function labelsOf(split: Split): Int32Array {
  const labels = new Int32Array(split.size);
  for (let index = 0; index < labels.length; index++) labels[index] = split.label(index);
  return labels;
}

function sizesOf({ heldOut, heldOutIdentities }: Dataset): number[] {
  const sizes = new Array<number>(heldOutIdentities).fill(0);
  for (let index = 0; index < heldOut.size; index++) sizes[heldOut.label(index)]! += 1;
  return sizes;
}

function corruptImages({ bad, images, looked }: ImageCheck): FleetError {
  const lines = bad
    .slice(0, NAMED_MAX)
    .map(({ name, reason }) => `data.path: image ${printable(name)}: ${reason}`);
  const advice = [
    ...(bad.length > NAMED_MAX ? [`${bad.length - NAMED_MAX} more images are corrupt`] : []),
    ...(looked < images
      ? [`only ${looked} of ${images} images were looked at, \`pocketfleet data check PATH\` looks at all`]
      : []),
    'repair or remove them, or leave them out with `data.onCorrupt: skip`',
  ];
  return new FleetError('invalidArgument', `${lines.join('\n')}\ndata.path: ${advice.join('; ')}`, {
    details: { field: 'data.path', corrupt: bad.length },
  });
}

/** `expected`: the list that a spec brings along, of a run that is submitted again. */
function skippedOf({ bad }: ImageCheck, expected: SkippedImages | undefined): SkippedImages | undefined {
  const skipped = skippedImages(bad.map(({ index }) => index));
  if (skipped !== undefined && skipped.list.length > SKIPPED_TEXT_MAX)
    throw new FleetError(
      'invalidArgument',
      `data.onCorrupt: ${bad.length} corrupt images are more than a run can list; remove them from the set, \`pocketfleet data check PATH\` names them`,
      { details: { field: 'data.onCorrupt' } },
    );
  if (expected !== undefined && expected.digest !== skipped?.digest)
    throw new FleetError(
      'invalidArgument',
      `data.skipped: ${expected.count} images are to be left out, but now ${bad.length} are corrupt, or others; the set has changed. Without \`skipped\` those of now are left out`,
      { details: { field: 'data.skipped' } },
    );
  return skipped;
}

function notesOf(source: Source, { bad, looked, images, resized }: ImageCheck): string[] {
  const notes = [...(source.notes ?? [])];
  if (bad.length > 0)
    notes.push(
      `${bad.length} of ${images} images are corrupt and left out (the first: ${printable(bad[0]!.name)}: ${bad[0]!.reason})`,
    );
  if (resized > 0)
    notes.push(
      `${resized} of ${looked} images looked at are not 112 x 112: they are scaled by the shorter side and cut about the centre; no face is looked for, so align them first`,
    );
  if (source.labelMap !== undefined)
    notes.push(`labels ${shortened(source.labelMap)} became classes 0 to ${source.classes - 1}`);
  return notes;
}

const shortened = (text: string) => (text.length > 60 ? `${text.slice(0, 60)}…` : text);
