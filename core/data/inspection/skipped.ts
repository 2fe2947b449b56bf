// Images of a set that a run leaves out, because they were corrupt when it was submitted (`data.onCorrupt:
// skip`). Decides how the list travels: as a part of the run's data, so that its result follows from its
// spec, whoever trains it. A list is the differences of its places, seven bits to a byte, in base64: two or
// three characters for each image.

import { sha256Hex } from '../../digest.ts';
import { FleetError } from '../../errors.ts';

export interface SkippedImages {
  readonly count: number;
  /** SHA-256 of the places as 32-bit little-endian words. */
  readonly digest: string;
  readonly list: string;
}

/** `places`: of the images in the whole set, rising. Undefined when there is nothing to leave out. */
export function skippedImages(places: readonly number[]): SkippedImages | undefined {
  if (places.length === 0) return undefined;
  const bytes: number[] = [];
  let before = -1;
  for (const place of places) {
    let gap = place - before - 1;
    for (; gap >= 128; gap = Math.floor(gap / 128)) bytes.push(128 | (gap % 128));
    bytes.push(gap);
    before = place;
  }
  const list = Buffer.from(bytes).toString('base64');
  return { count: places.length, digest: digestOf(Uint32Array.from(places)), list };
}

/** Places in rising order; refuses a list that differs from its digest. */
export function skippedPlaces(skipped: SkippedImages | undefined): Uint32Array {
  if (skipped === undefined) return new Uint32Array(0);
  const places: number[] = [];
  let [gap, unit, before] = [0, 1, -1];
  for (const byte of Buffer.from(skipped.list, 'base64')) {
    gap += (byte & 127) * unit;
    unit *= 128;
    if (byte >= 128) continue;
    before += gap + 1;
    places.push(before);
    [gap, unit] = [0, 1];
  }
  const found = Uint32Array.from(places);
  if (found.length !== skipped.count || digestOf(found) !== skipped.digest)
    throw new FleetError(
      'invalidArgument',
      `data.skipped: the list names ${found.length} images with digest ${digestOf(found).slice(0, 16)}, not ${skipped.count} with ${skipped.digest.slice(0, 16)}`,
      { details: { field: 'data.skipped' } },
    );
  return found;
}

function digestOf(places: Uint32Array): string {
  const bytes = Buffer.alloc(4 * places.length);
  for (const [i, place] of places.entries()) bytes.writeUInt32LE(place, 4 * i);
  return sha256Hex(bytes);
}
