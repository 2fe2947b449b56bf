// Verification sets in the `.bin` form (LFW, CFP-FP, AgeDB-30 and others): encoded images and truth values in a pickle,
// images 2i and 2i+1 being pair i. Decides what a well-formed set is; the pickle is read by pickle.ts, the images are
// decoded by image.ts when the caller wants pixels.

import { readFile } from 'node:fs/promises';
import { FleetError, toFleetError } from '../errors.ts';
import { type PickleValue, readPickle } from './pickle.ts';

export interface VerificationBin {
  /** Encoded images (JPEG or PNG), views of one buffer; 2i and 2i+1 are pair i. */
  readonly images: readonly Uint8Array[];
  readonly same: readonly boolean[];
}

export async function readVerificationBin(path: string): Promise<VerificationBin> {
  const bytes = await readFile(path).catch((caught: unknown) => {
    throw toFleetError(caught, `verification set ${path}`);
  });
  return parseVerificationBin(bytes, path);
}

/** `name` is what an error calls the source. */
export function parseVerificationBin(bytes: Uint8Array, name: string): VerificationBin {
  const value = readPickle(bytes, name);
  const wrong = (what: string) => new FleetError('invalidArgument', `verification set ${name}: ${what}`);
  if (!Array.isArray(value) || value.length !== 2)
    throw wrong('the pickle is not a pair of (images, truth values)');
  const [images, flags] = value as PickleValue[];
  if (!Array.isArray(images) || !Array.isArray(flags)) throw wrong('images and truth values are not lists');
  if (images.length !== 2 * flags.length)
    throw wrong(`${images.length} images and ${flags.length} truth values; each value belongs to two images`);
  if (flags.length === 0) throw wrong('it has no pairs');
  images.forEach((image: PickleValue, i: number) => {
    if (!(image instanceof Uint8Array) || image.length === 0)
      throw wrong(`image ${i} is not a string of bytes`);
  });
  return {
    images: images as Uint8Array[],
    same: flags.map((flag: PickleValue, i: number) => {
      if (flag === true || flag === 1) return true;
      if (flag === false || flag === 0) return false;
      throw wrong(`truth value ${i} is neither true nor false`);
    }),
  };
}
