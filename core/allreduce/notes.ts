// Notes in place of data: what a member sends to a neighbour that reads its memory. A note is the header of the
// message, marked, and a fingerprint of the data. Decides what a reader believes: data whose fingerprint is the
// note's, and nothing else; what it does not believe it asks for, and gets as a message with the data in it.

import { FleetError } from '../errors.ts';
import type { ExchangeMemory } from './memory.ts';

const NOTE_BYTES = 8;

export interface Notes {
  /**
   * The note about data in this memory, which must not change until all have read it. `key`: of data that they read
   * elsewhere.
   */
  noteOf(data: Uint8Array, key?: number): Uint8Array;
  /** Whether the bytes at an address are those that the note is about. */
  isAbout(note: Uint8Array, at: number, bytes: number): boolean;
  /** False when data of which a note was sent is not what it was, which ends the exchange here. */
  isUnchanged(data: Uint8Array, key?: number): boolean;
}

export function createNotes(
  { kernels }: Pick<ExchangeMemory, 'kernels'>,
  onChanged: (error: FleetError) => void,
): Notes {
  /** Fingerprints of the newest notes by address or key: a step writes each of them once. */
  const sent = new Map<number, bigint>();
  return {
    noteOf(data, key = data.byteOffset) {
      const fingerprint = kernels.fingerprint(data.byteOffset, data.length);
      sent.set(key, fingerprint);
      const note = new Uint8Array(NOTE_BYTES);
      new DataView(note.buffer).setBigInt64(0, fingerprint, true);
      return note;
    },
    isAbout(note, at, bytes) {
      if (note.length !== NOTE_BYTES) return false;
      const wanted = new DataView(note.buffer, note.byteOffset, NOTE_BYTES).getBigInt64(0, true);
      return kernels.fingerprint(at, bytes) === wanted;
    },
    isUnchanged(data, key = data.byteOffset) {
      const noted = sent.get(key);
      if (noted === undefined || noted === kernels.fingerprint(data.byteOffset, data.length)) return true;
      onChanged(
        new FleetError(
          'unavailable',
          'another program has changed memory that this member shares with its neighbours; the step has to be computed again',
        ),
      );
      return false;
    },
  };
}
