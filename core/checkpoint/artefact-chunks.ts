// The chunks of an artefact: where each begins and ends, and whether what came back from the store is what
// the manifest names. Pure.

import { FleetError } from '../errors.ts';
import type { Manifest } from './manifest.ts';

/** Well below the default largest message of 1 MiB, and in the flat part of the measured throughput. */
export const CHUNK_BYTES = 512 * 1024;

/** A chunk's place in the whole, in bytes. */
export interface ChunkRange {
  readonly offset: number;
  readonly length: number;
}

export const chunkCount = (bytes: number, chunkBytes: number): number => Math.ceil(bytes / chunkBytes);

export function chunkRange(
  { bytes, chunkBytes }: Pick<Manifest, 'bytes' | 'chunkBytes'>,
  chunk: number,
): ChunkRange {
  const offset = chunk * chunkBytes;
  return { offset, length: Math.min(chunkBytes, bytes - offset) };
}

/**
 * Throws `dataLoss` when a chunk is gone or has another length; `found`: its length in bytes, undefined when
 * it is not stored.
 */
export function checkChunk(manifest: Manifest, chunk: number, found: number | undefined): void {
  const { key, digest } = manifest;
  if (found === undefined)
    throw new FleetError('dataLoss', `chunk ${chunk} of ${key} (${digest}) is not stored any more`);
  const { length } = chunkRange(manifest, chunk);
  if (found !== length)
    throw new FleetError('dataLoss', `chunk ${chunk} of ${key} has ${found} bytes instead of ${length}`);
}

/**
 * Throws `dataLoss` when the chunks together are not what the manifest names; `digest`: SHA-256 of all of
 * them, hex.
 */
export function checkWhole({ key, digest: expected }: Manifest, digest: string): void {
  if (digest === expected) return;
  throw new FleetError(
    'dataLoss',
    `the stored bytes of ${key} have digest ${digest}, its manifest names ${expected}`,
    { details: { key, digest, expected } },
  );
}
