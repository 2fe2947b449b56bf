// How the text of a group becomes fewer bytes and back. Pure. A deflated message begins with the number of its format and
// has raw deflate with the dictionary of that format behind it.
//
// In format 3 the deflated text has no last block, but ends as each flush does, at a byte, with four bytes that are always
// the same and are left out (as in RFC 7692). So messages can stand behind one another in one stream, each behind the
// dictionary as plain text, and a start inflates dozens at once: to make an inflater takes as long as to inflate 3 KB.

import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';
import { DICTIONARY_2, DICTIONARY_3 } from './formats/dictionary.ts';

/** A message inflates to this at most, so that a few foreign bytes cannot take the memory. */
const INFLATED_BYTES_MAX = 256 << 20;
/** Bytes with which a flush ends: an empty block without its first byte. */
const FLUSHED = Buffer.of(0, 0, 0xff, 0xff);
/** Ends a stream: a last block without anything. */
const LAST = Buffer.of(3, 0);
/** Before each message of a stream, because the text of a group has no such byte. */
const BETWEEN = 0;

/** By the byte with which a deflated message begins. */
const DICTIONARIES: Readonly<Record<number, Buffer>> = { 2: DICTIONARY_2, 3: DICTIONARY_3 };

/** Whether a message is deflated, in a format that this release knows. */
export const isDeflated = ([first = 0]: Uint8Array): boolean => first in DICTIONARIES;

/** The text of a group as a message of format 3. */
export function deflated(text: Uint8Array): Buffer {
  const flush = { dictionary: DICTIONARY_3, finishFlush: constants.Z_SYNC_FLUSH };
  const whole = deflateRawSync(text, flush);
  return Buffer.concat([Buffer.of(3), whole.subarray(0, whole.length - FLUSHED.length)]);
}

/** The text of a message, which is the message where it is not deflated. Throws when it cannot be inflated. */
export function inflated(bytes: Uint8Array): Buffer {
  const [format = 0] = bytes;
  const dictionary = DICTIONARIES[format];
  if (dictionary === undefined) return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const options = { dictionary, maxOutputLength: INFLATED_BYTES_MAX };
  if (format === 2) return inflateRawSync(bytes.subarray(1), options);
  return inflateRawSync(Buffer.concat([bytes.subarray(1), FLUSHED, LAST]), options);
}

/** Before each message of a stream: a block that is not compressed, with the text to which the message refers. */
const PREFACE_TEXT = Buffer.concat([Buffer.of(BETWEEN), DICTIONARY_3]);
const PREFACE = Buffer.concat([stored(PREFACE_TEXT.length), PREFACE_TEXT]);

/** The begin of a block of so many bytes that are not compressed. */
function stored(length: number): Buffer {
  const begin = Buffer.alloc(5);
  begin.writeUInt16LE(length, 1);
  begin.writeUInt16LE(0xffff - length, 3);
  return begin;
}

/**
 * The texts of these messages; undefined where a message is not of this kind, and for all when they cannot be inflated
 * together, because one is damaged.
 */
export function inflatedTogether(messages: readonly Uint8Array[]): (Buffer | undefined)[] {
  const parts: Uint8Array[] = [];
  for (const bytes of messages) if (bytes[0] === 3) parts.push(PREFACE, bytes.subarray(1), FLUSHED);
  const texts = parts.length === 0 ? undefined : textsOf(Buffer.concat([...parts, LAST]));
  if (texts === undefined || texts.length * 3 !== parts.length) return messages.map(() => undefined);
  let next = 0;
  return messages.map((bytes) => (bytes[0] === 3 ? texts[next++] : undefined));
}

/** What stands behind each preface in a stream; undefined: something else stands there. */
function textsOf(stream: Uint8Array): Buffer[] | undefined {
  let whole: Buffer;
  try {
    whole = inflateRawSync(stream, { chunkSize: CHUNK_BYTES, maxOutputLength: INFLATED_BYTES_MAX });
  } catch {
    return undefined;
  }
  const texts: Buffer[] = [];
  for (let at = 0; at < whole.length; ) {
    const begin = at + PREFACE_TEXT.length;
    if (PREFACE_TEXT.compare(whole, at, begin) !== 0) return undefined;
    const between = whole.indexOf(BETWEEN, begin);
    at = between < 0 ? whole.length : between;
    texts.push(whole.subarray(begin, at));
  }
  return texts;
}

/** Room that is made at once: some 32 messages of small trials with their prefaces. */
const CHUNK_BYTES = 512 << 10;
