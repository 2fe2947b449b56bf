// The chunks of a part: where each begins and ends, how it is cut out of the pieces of memory that make up
// the part and put back into them, and what is wrong with a chunk that came back. Pure.

import { FleetError } from '../errors.ts';
import { artefactName } from './artefact-names.ts';

/** Well below the default largest message of 1 MiB, and in the flat part of the measured throughput. */
export const CHUNK_BYTES = 512 * 1024;

/** A chunk's place in its part, in bytes. */
export interface ChunkRange {
  readonly offset: number;
  readonly length: number;
}

/** Bytes of a part, cut into chunks of one length; the last may be shorter. */
interface Cut {
  readonly bytes: number;
  readonly chunkBytes: number;
}

/** So many chunks a part has; one of no bytes has none. */
export const chunkCount = ({ bytes, chunkBytes }: Cut): number => Math.ceil(bytes / chunkBytes);

/** Where a chunk lies; `chunk` counts from 0. */
export function chunkRange({ bytes, chunkBytes }: Cut, chunk: number): ChunkRange {
  const offset = chunk * chunkBytes;
  return { offset, length: Math.min(chunkBytes, bytes - offset) };
}

/** Memory that makes up a part, in order. It may be shared with other threads. */
export type Pieces = readonly Uint8Array[];

/** Length of all pieces together. */
export const bytesOf = (pieces: Pieces): number => pieces.reduce((sum, { length }) => sum + length, 0);

/** A copy of a range, in memory of its own. */
export function cutOut(pieces: Pieces, { offset, length }: ChunkRange): Uint8Array {
  const chunk = new Uint8Array(length);
  visit(pieces, { offset, length }, (place, at) => chunk.set(place, at));
  return chunk;
}

/** Writes a chunk back to its place. */
export function putInto(pieces: Pieces, offset: number, chunk: Uint8Array): void {
  visit(pieces, { offset, length: chunk.length }, (place, at) =>
    place.set(chunk.subarray(at, at + place.length)),
  );
}

/** Calls `found` for each place of a range, with where the place begins in the range. */
function visit(
  pieces: Pieces,
  { offset, length }: ChunkRange,
  found: (place: Uint8Array, at: number) => void,
): void {
  let begin = 0;
  for (const piece of pieces) {
    const from = Math.max(offset, begin);
    const to = Math.min(offset + length, begin + piece.length);
    if (from < to) found(piece.subarray(from - begin, to - begin), from - offset);
    begin += piece.length;
  }
}

/** Where a chunk belongs. */
export interface ChunkPlace {
  /** Key of the artefact. */
  readonly key: string;
  readonly part: string;
  readonly chunk: number;
}

/** `chunk 3 of part optimizer of run-1's stage 2 WHAT`, with the key in the details. */
export const chunkLoss = ({ key, part, chunk }: ChunkPlace, what: string): FleetError =>
  new FleetError('dataLoss', `chunk ${chunk} of part ${part} of ${artefactName(key)} ${what}`, {
    details: { damaged: key, part, chunk },
  });
