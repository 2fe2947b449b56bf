// Rows of single images as they travel between workers that keep them: those of one pass of the teacher's network. Decides
// their bytes, in little-endian words of 32 bits:
//
//   digest [2]    of all words after it (core/digest.ts)
//   places [n]    image x flips, plus 1 for a mirror image
//   values [n, E] float32, as they were computed

import { digest64 } from '../../core/digest.ts';
import type { ComputedRow, RowsSize } from './teacher-rows.ts';

const DIGEST_WORDS = 2;
const WORD_BYTES = 4;

/** Bytes of a message with so many rows. */
export const rowMessageBytes = (rows: number, { embedding }: Pick<RowsSize, 'embedding'>): number =>
  WORD_BYTES * (DIGEST_WORDS + rows * (1 + embedding));

export function encodeRows(rows: readonly ComputedRow[], size: RowsSize): Uint8Array {
  const { flips, embedding } = size;
  const bytes = new Uint8Array(rowMessageBytes(rows.length, size));
  const { words, places, values } = partsOf(bytes.buffer, embedding);
  for (const [i, { image, isMirrored, values: row }] of rows.entries()) {
    places[i] = image * flips + (isMirrored ? 1 : 0);
    values.set(row, i * embedding);
  }
  words.set(digestWords(bytes.buffer));
  return bytes;
}

/** The rows of a message; or why it has none that may be used, as part of a sentence. */
export function decodeRows(
  message: Uint8Array,
  { images, flips, embedding }: RowsSize,
): ComputedRow[] | string {
  const rows = (message.byteLength / WORD_BYTES - DIGEST_WORDS) / (1 + embedding);
  if (!Number.isInteger(rows) || rows < 1) return `they have ${message.byteLength} bytes`;
  // A copy that is aligned; a message lies anywhere in what the socket gave.
  const { buffer } = Uint8Array.from(message);
  const { words, places, values } = partsOf(buffer, embedding);
  if (digestWords(buffer).some((word, i) => word !== words[i])) return 'their bytes do not have their digest';
  const beyond = places.find((place) => place >= images * flips);
  if (beyond !== undefined) return `row ${beyond} of ${images * flips}`;
  return Array.from(places, (place, i) => ({
    image: Math.floor(place / flips),
    isMirrored: place % flips === 1,
    values: values.subarray(i * embedding, (i + 1) * embedding),
  }));
}

function partsOf(buffer: ArrayBuffer, embedding: number) {
  const words = new Uint32Array(buffer);
  const rows = (words.length - DIGEST_WORDS) / (1 + embedding);
  return {
    words,
    places: words.subarray(DIGEST_WORDS, DIGEST_WORDS + rows),
    values: new Float32Array(buffer, WORD_BYTES * (DIGEST_WORDS + rows)),
  };
}

function digestWords(buffer: ArrayBuffer): number[] {
  const digest = digest64(new Float32Array(buffer, WORD_BYTES * DIGEST_WORDS));
  return [digest.slice(0, 8), digest.slice(8)].map((hex) => Number.parseInt(hex, 16));
}
