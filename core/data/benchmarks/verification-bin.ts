// Verification sets in the `.bin` form (LFW, CFP-FP, AgeDB-30 and others): a pickle of encoded images and
// truth values, with images 2i and 2i+1 as pair i. Decides what a well-formed set is; images stay encoded.

import { FleetError } from '../../errors.ts';
import { ANYWHERE, type Roots, readRegular } from '../../system/file-access.ts';
import { isLatin1, type PickleValue, readPickle } from './set-pickle.ts';

export interface VerificationBin {
  /** Encoded images (JPEG or PNG), views of one buffer; 2i and 2i+1 are pair i. */
  readonly images: readonly Uint8Array[];
  readonly same: readonly boolean[];
}

/** The largest published sets have some 100 MB. */
const SET_BYTES_MAX = 1 << 30;

/** Reading stops when the signal is aborted. */
export async function readVerificationBin(
  path: string,
  { roots = ANYWHERE, signal }: { readonly roots?: Roots; readonly signal?: AbortSignal } = {},
): Promise<VerificationBin> {
  const what = 'verification set';
  const bytes = await readRegular(path, { roots, what, bytesMax: SET_BYTES_MAX, signal });
  return parseVerificationBin(bytes, path);
}

/** `name`: the source's name in errors. */
export function parseVerificationBin(bytes: Uint8Array, name: string): VerificationBin {
  const value = readPickle(bytes, name);
  const wrong = (what: string) => new FleetError('invalidArgument', `verification set ${name}: ${what}`);
  if (!Array.isArray(value) || value.length !== 2)
    throw wrong('the pickle is not a pair of (images, truth values)');
  const [images, flags] = value as PickleValue[];
  const truths = listOf(flags);
  if (!Array.isArray(images) || truths === undefined) throw wrong('images and truth values are not lists');
  if (images.length !== 2 * truths.length)
    throw wrong(
      `${images.length} images and ${truths.length} truth values; each value belongs to two images`,
    );
  if (truths.length === 0) throw wrong('it has no pairs');
  return {
    images: images.map((image: PickleValue, i: number) => {
      const bytes = bytesOf(image);
      if (bytes === undefined || bytes.length === 0) throw wrong(`image ${i} is not a string of bytes`);
      return bytes;
    }),
    same: truths.map((flag: PickleValue, i: number) => {
      const [value] = Array.isArray(flag) && flag.length === 1 ? (flag as PickleValue[]) : [flag];
      if (value === true || value === 1) return true;
      if (value === false || value === 0) return false;
      throw wrong(`truth value ${i} is neither true nor false`);
    }),
  };
}

/** Truth values that numpy has kept as bytes are a list too. */
function listOf(value: PickleValue | undefined): readonly PickleValue[] | undefined {
  return value instanceof Uint8Array ? [...value] : Array.isArray(value) ? value : undefined;
}

/** Bytes that were loaded with encoding="latin1" and written again are text of one character a byte. */
function bytesOf(image: PickleValue): Uint8Array | undefined {
  if (image instanceof Uint8Array) return image;
  if (typeof image === 'string' && isLatin1(image)) return Buffer.from(image, 'latin1');
  // An object array of one element, or an image that was wrapped in a list.
  return Array.isArray(image) && image.length === 1 ? bytesOf(image[0] as PickleValue) : undefined;
}
