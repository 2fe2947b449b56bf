// The two halves of a search's training images: one moves the weights, the other the alphas (reference facts
// 2.1). Decides which image is in which half, from labels and a seed alone, so that every worker divides a set
// in the same way. The division is stratified: the images of each person are shared out evenly. Held-out people
// are no part of the training images and so are in neither half.
//
// The published loader shifts the labels by one against the images before it divides them (facts 7.2), so
// that its halves are stratified by the wrong people and the last image is in neither. That is not copied.

import { FleetError } from '../errors.ts';
import { randomStream } from '../rng.ts';

/** weights: its batches move the weights. alphas: its batches move the alphas. */
export type Half = 'weights' | 'alphas';

/**
 * What is done about people with few images. even: each person's images are shared out as evenly as can be,
 * and a single one is in one half alone. strict: a person with fewer than two images in a half refuses the
 * set.
 */
export type Stratification = 'even' | 'strict';

/** Which division of the training images is meant, and which part of it. */
export interface HalfOfSet {
  readonly half: Half;
  /** Names the division. */
  readonly seed: number;
}

/** A division: each training image is in exactly one half. */
export interface Halves {
  /** Places in the training split, rising. Its length is that of the other half or one more. */
  readonly weights: Uint32Array;
  readonly alphas: Uint32Array;
  /** People with one image, who are in one half alone. */
  readonly single: number;
}

/** Images of each half of so many training images; what `halvesOf` gives has these lengths. */
export const halfSizes = (images: number): Readonly<Record<Half, number>> => ({
  weights: Math.ceil(images / 2),
  alphas: Math.floor(images / 2),
});

/** Fewest images of a person that leave two in each half. */
const STRICT_IMAGES = 4;

/**
 * Why no set of so many people and images can be divided strictly; undefined where that depends on who has how many,
 * which is known where the images are.
 */
export function strictFault({
  trainingImages,
  classes,
}: {
  readonly trainingImages: number;
  readonly classes: number;
}): string | undefined {
  if (trainingImages >= classes * STRICT_IMAGES) return undefined;
  return `strict takes ${STRICT_IMAGES} images of each person, two in each half, and ${classes} people have ${trainingImages} training images together. Remove people with few images from the set, or use \`stratify: even\``;
}

/**
 * Divides the training images. `labels`: the person of each image, 0 or more. `seed`: which images of a person
 * go together. The odd image of a person goes to the two halves in turn, over people in the order of their
 * labels.
 */
export function halvesOf(options: {
  readonly labels: ArrayLike<number>;
  readonly seed: number;
  readonly stratify?: Stratification;
  /** A person by label, for refusals. */
  readonly nameOf?: (label: number) => string;
}): Halves {
  const { labels, seed, stratify = 'even', nameOf = (label: number) => `class ${label}` } = options;
  const people = imagesByPerson(labels);
  if (stratify === 'strict') refuseFewImages(people.counts, nameOf);
  const inWeights = new Uint8Array(labels.length);
  let single = 0;
  let weightsNext = true;
  let first = 0;
  people.counts.forEach((count, person) => {
    const images = people.images.subarray(first, first + count);
    first += count;
    if (count === 1) single += 1;
    const odd = count % 2 === 1;
    const taken = Math.floor(count / 2) + Number(odd && weightsNext);
    if (odd) weightsNext = !weightsNext;
    const stream = randomStream({ seed, purpose: 'halves of a search', at: [person, 0] });
    // The first `taken` places of a shuffle.
    for (let place = 0; place < taken; place++) {
      const from = place + stream.integer(count - place);
      [images[place], images[from]] = [images[from]!, images[place]!];
      inWeights[images[place]!] = 1;
    }
  });
  return { weights: placesOf(inWeights, 1), alphas: placesOf(inWeights, 0), single };
}

/** A sentence for whoever submitted the search, where some people are in one half alone. */
export function singlesNote(single: number): string | undefined {
  if (single === 0) return undefined;
  const people = single === 1 ? '1 person has one image' : `${single} people have one image each`;
  return `halves: ${people}, so one half is without them; \`stratify: strict\` refuses such a set`;
}

/** Images by person: those of person 0 in rising order, then those of person 1, and so on. */
function imagesByPerson(labels: ArrayLike<number>): { counts: Uint32Array; images: Uint32Array } {
  let people = 0;
  for (let image = 0; image < labels.length; image++) people = Math.max(people, labels[image]! + 1);
  const counts = new Uint32Array(people);
  for (let image = 0; image < labels.length; image++) counts[labels[image]!]! += 1;
  const next = new Uint32Array(people);
  for (let person = 1; person < people; person++) next[person] = next[person - 1]! + counts[person - 1]!;
  const images = new Uint32Array(labels.length);
  for (let image = 0; image < labels.length; image++) images[next[labels[image]!]!++] = image;
  return { counts, images };
}

function refuseFewImages(counts: Uint32Array, nameOf: (label: number) => string): void {
  const few = [...counts.keys()].filter((person) => counts[person]! > 0 && counts[person]! < STRICT_IMAGES);
  const [first] = few;
  if (first === undefined) return;
  const images = counts[first] === 1 ? '1 image' : `${counts[first]} images`;
  const others = few.length > 1 ? `, and ${few.length - 1} more have fewer than ${STRICT_IMAGES}` : '';
  throw new FleetError(
    'invalidArgument',
    `halves.stratify: strict: ${nameOf(first)} has ${images}${others}; two in each half take ${STRICT_IMAGES}. Remove such people from the set, or use \`stratify: even\``,
    { details: { field: 'halves.stratify', people: few.length } },
  );
}

function placesOf(inWeights: Uint8Array, wanted: 0 | 1): Uint32Array {
  let size = 0;
  for (const mark of inWeights) size += Number(mark === wanted);
  const places = new Uint32Array(size);
  let next = 0;
  inWeights.forEach((mark, image) => {
    if (mark === wanted) places[next++] = image;
  });
  return places;
}
