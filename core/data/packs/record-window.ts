// A block of a record file in memory, moved on as records are asked for: headers of millions of records are
// picked out of blocks, without a system call or a promise for each. Decides what is read at once, and reads
// headers in their usual form (one chunk, one scalar label); it leaves every other form to a full reader.

import { closeSync, openSync, readSync } from 'node:fs';
import { toFleetError } from '../../errors.ts';
import { CHUNK_HEADER, IR_HEADER, MAGIC } from './recordio.ts';

/** Bytes of a record up to its labels. */
export const RECORD_HEADER = CHUNK_HEADER + IR_HEADER;
/** Two labels behind the header, as the records of identities have them. */
const NEEDED = RECORD_HEADER + 8;
const BLOCK = 1 << 20;

export interface RecordWindow {
  readonly block: Buffer;
  /**
   * Place in the block where the record at `offset` begins; -1: the file ends within its header. `length`:
   * bytes to read when it is not in the block.
   */
  hold(offset: number, length?: number): number;
  close(): void;
}

export function openWindow(path: string): RecordWindow {
  const block = Buffer.alloc(BLOCK);
  let [start, end] = [0, 0];
  let handle: number;
  try {
    handle = openSync(path, 'r');
  } catch (caught) {
    throw toFleetError(caught, `record file ${path}`);
  }
  return {
    block,
    hold(offset, length = BLOCK) {
      if (offset < start || offset + Math.min(NEEDED, length) > end) {
        [start, end] = [offset, offset];
        while (end < start + length) {
          const read = readSync(handle, block, end - start, length - (end - start), end);
          if (read === 0) break;
          end += read;
        }
      }
      return offset + RECORD_HEADER <= end ? offset - start : -1;
    },
    close: () => closeSync(handle),
  };
}

/**
 * Label of a record in its usual form: one chunk, one scalar label, an image. Undefined: it has another form,
 * or is part of a record. `left`: bytes of the file from its begin on.
 */
export function plainLabel(block: Buffer, at: number, left: number): number | undefined {
  const length = lengthOf(block, at);
  return length > IR_HEADER && CHUNK_HEADER + length <= left && block.readUInt32LE(at + CHUNK_HEADER) === 0
    ? block.readFloatLE(at + CHUNK_HEADER + 4)
    : undefined;
}

/** The two labels of a record without image. */
export function labelPair(block: Buffer, at: number): readonly [number, number] | undefined {
  return lengthOf(block, at) === IR_HEADER + 8 && block.readUInt32LE(at + CHUNK_HEADER) === 2
    ? [block.readFloatLE(at + RECORD_HEADER), block.readFloatLE(at + RECORD_HEADER + 4)]
    : undefined;
}

/** Bytes of a record that is one chunk; 0 for any other. */
function lengthOf(block: Buffer, at: number): number {
  if (at < 0 || block.readUInt32LE(at) !== MAGIC) return 0;
  const word = block.readUInt32LE(at + 4);
  // The continuation flag is in the three highest bits, and zero in a whole record.
  return word < 2 ** 29 ? word : 0;
}
