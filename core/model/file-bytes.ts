// Reads ranges of a model file. Decides that a range is whole or refused: a file that ends within it is
// damaged.

import type { FileHandle } from 'node:fs/promises';
import { FleetError } from '../errors.ts';

/**
 * Exactly `length` bytes from `position` on, in memory of their own, aligned for any element. `where` names
 * the file in errors.
 */
export async function readAt(
  file: FileHandle,
  position: number,
  length: number,
  where: string,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await file.read(bytes, done, length - done, position + done);
    if (bytesRead === 0) throw damaged(where, `it ends within bytes ${position}..${position + length}`);
    done += bytesRead;
  }
  return bytes;
}

/** A model file that is not what it claims to be. */
export function damaged(where: string, what: string, cause?: unknown): FleetError {
  return new FleetError('dataLoss', `${where} is damaged: ${what}`, { cause });
}
