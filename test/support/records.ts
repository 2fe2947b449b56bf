// Writes RecordIO packs for tests, as the formats' own tools do: the counterpart of
// core/data/packs/recordio.ts, kept apart from it so that a reader's mistake is not repeated in what it
// reads.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

const MAGIC = Buffer.from([0x0a, 0x23, 0xd7, 0xce]);

/** A record in chunks: split where the magic stands at a multiple of four, those four bytes dropped. */
export function frameRecord(payload: Buffer): Buffer {
  const cuts: number[] = [];
  for (let at = 0; at + 4 <= payload.length; at += 4)
    if (payload.subarray(at, at + 4).equals(MAGIC)) cuts.push(at);
  const chunks: Buffer[] = [];
  let from = 0;
  for (let i = 0; i <= cuts.length; i++) {
    const to = cuts[i] ?? payload.length;
    const flag = cuts.length === 0 ? 0 : i === 0 ? 1 : i === cuts.length ? 3 : 2;
    const head = Buffer.alloc(8);
    MAGIC.copy(head);
    head.writeUInt32LE(((flag << 29) | (to - from)) >>> 0, 4);
    chunks.push(head, payload.subarray(from, to), Buffer.alloc((4 - ((to - from) % 4)) % 4));
    from = to + 4;
  }
  return Buffer.concat(chunks);
}

/** Header, labels and image: one label is stored as a scalar, more as an array. */
export function imagePayload(labels: readonly number[], id: number, image: Uint8Array): Buffer {
  const array = labels.length > 1;
  const head = Buffer.alloc(24 + (array ? 4 * labels.length : 0));
  head.writeUInt32LE(array ? labels.length : 0, 0);
  head.writeFloatLE(array ? 0 : labels[0]!, 4);
  head.writeBigUInt64LE(BigInt(id), 8);
  if (array) for (const [i, label] of labels.entries()) head.writeFloatLE(label, 24 + 4 * i);
  return Buffer.concat([head, image]);
}

/**
 * Writes train.rec and train.idx (and `property`) into an existing folder; returns each record's offset by
 * key.
 */
export function writePack(
  dir: string,
  records: readonly { key: number; labels: readonly number[]; image: Uint8Array }[],
  property?: string,
): Map<number, number> {
  const offsets = new Map<number, number>();
  const framed: Buffer[] = [];
  let offset = 0;
  for (const { key, labels, image } of records) {
    const bytes = frameRecord(imagePayload(labels, key, image));
    offsets.set(key, offset);
    framed.push(bytes);
    offset += bytes.length;
  }
  writeFileSync(join(dir, 'train.rec'), Buffer.concat(framed));
  writeFileSync(join(dir, 'train.idx'), [...offsets].map(([key, at]) => `${key}\t${at}\n`).join(''));
  if (property !== undefined) writeFileSync(join(dir, 'property'), property);
  return offsets;
}
