// The digest of what a data set consists of: names, sizes and bytes of its files, wherever they lie. Decides
// what enters it, and that many small files are read at once while their order stays.

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { toFleetError } from '../../errors.ts';
import { printable } from '../../text/printable.ts';
import type { ProgressPace } from '../progress-pace.ts';
import { startIdentity } from './set-identity.ts';

/** A file of a set. */
export interface SetFile {
  /** Its name within the set: the same wherever the set lies. */
  readonly name: string;
  readonly path: string;
  /** false: it cannot be read, which opening the set has found; its name alone enters the digest. */
  readonly isReadable: boolean;
}

/** Names the form of the digest; another form gets another number. */
const FORMAT = 'data set 1';
/** Files whose digests wait for their place at once. */
const TOGETHER = 512;
const BLOCK_BYTES = 1 << 20;

/** 64 hex digits. `fileAt`: in an order that does not depend on the place; `lanes`: files in hand at once. */
export async function digestOfFiles(options: {
  readonly kind: 'folder' | 'recordio';
  readonly count: number;
  readonly fileAt: (index: number) => SetFile;
  /** Bytes of all files where those are few and large; undefined: files are counted. */
  readonly totalBytes?: number;
  readonly lanes: number;
  readonly pace: ProgressPace;
}): Promise<string> {
  const { kind, count, fileAt, totalBytes, lanes, pace } = options;
  const whole = startIdentity();
  whole.add(`${FORMAT} ${kind}`);
  let [files, bytes] = [0, 0];
  const step = (read: number) => {
    bytes += read;
    return totalBytes === undefined
      ? pace.step({ doing: 'reading all images', done: files, total: count, unit: 'images' })
      : pace.step({ doing: 'reading the pack', done: bytes, total: totalBytes, unit: 'bytes' });
  };
  for (let from = 0; from < count; from += TOGETHER) {
    const parts = new Array<string>(Math.min(TOGETHER, count - from));
    let next = 0;
    const lane = async () => {
      while (next < parts.length) {
        const i = next++;
        const file = fileAt(from + i);
        parts[i] = file.isReadable ? await partOf(file, step) : `${file.name} cannot be read`;
        files += 1;
      }
    };
    await Promise.all(Array.from({ length: Math.max(1, lanes) }, lane));
    for (const part of parts) whole.add(part);
  }
  return whole.key();
}

async function partOf(
  { name, path }: SetFile,
  step: (bytes: number) => Promise<void> | undefined,
): Promise<string> {
  const hash = createHash('sha256');
  let size = 0;
  try {
    for await (const block of createReadStream(path, { highWaterMark: BLOCK_BYTES })) {
      hash.update(block as Buffer);
      size += (block as Buffer).length;
      await step((block as Buffer).length);
    }
  } catch (caught) {
    throw toFleetError(caught, `data.path: ${printable(path)}`);
  }
  return `${name} ${size} ${hash.digest('hex')}`;
}
