// What is digested: the chunks of a part, or the vectors of a state. Pure, and the same in whichever thread
// it runs.

import { digest64, digest64Of, sha256Hex } from '../digest.ts';
import { bytesOf, chunkCount, chunkRange, cutOut, type Pieces } from './chunks.ts';

/** One piece of work for a thread. */
export type DigestWork =
  | { readonly kind: 'chunks'; readonly pieces: Pieces; readonly chunkBytes: number }
  | { readonly kind: 'vectors'; readonly vectors: readonly Float32Array[] };

/** SHA-256 of each chunk; or the 64-bit digest of the state, and then that of each of its vectors. */
export function digested(work: DigestWork): string[] {
  if (work.kind === 'vectors') return [digest64Of(work.vectors), ...work.vectors.map(digest64)];
  const { pieces, chunkBytes } = work;
  const cut = { bytes: bytesOf(pieces), chunkBytes };
  return Array.from({ length: chunkCount(cut) }, (_, chunk) =>
    // A copy, since the memory may be shared and a digest is computed of memory that nobody else writes.
    sha256Hex(cutOut(pieces, chunkRange(cut, chunk))),
  );
}
