// Writes a RecordIO pack in InsightFace's layout with as many images as wanted, each a PNG of one pixel:
// header record, images, one record an identity with the range of its keys, `property`. In blocks, so that
// millions of records take no memory.

import { closeSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { encodePng } from '../../core/data/images/image.ts';
import { frameRecord, imagePayload } from './records.ts';

/** Writes train.rec, train.idx and property into `dir`. */
export async function writeLargePack(dir: string, images: number, classes: number): Promise<void> {
  const png = await encodePng({ width: 1, height: 1, rgb: new Uint8Array([10, 20, 30]) });
  const image = frameRecord(imagePayload([0], 0, png));
  const rec = openSync(join(dir, 'train.rec'), 'w');
  const idx = openSync(join(dir, 'train.idx'), 'w');
  let offset = 0;
  let lines: string[] = [];
  let parts: Buffer[] = [];
  const flush = () => {
    const bytes = Buffer.concat(parts);
    for (let done = 0; done < bytes.length; ) done += writeSync(rec, bytes, done);
    writeSync(idx, lines.join(''));
    [lines, parts] = [[], []];
  };
  const put = (key: number, bytes: Buffer) => {
    lines.push(`${key}\t${offset}\n`);
    parts.push(bytes);
    offset += bytes.length;
    if (parts.length === 65_536) flush();
  };
  const first = (identity: number) => 1 + Math.floor((identity * images) / classes);
  put(0, frameRecord(imagePayload([images + 1, images + 1 + classes], 0, Buffer.alloc(0))));
  for (let identity = 0; identity < classes; identity++)
    for (let key = first(identity); key < first(identity + 1); key++) {
      const bytes = Buffer.from(image);
      bytes.writeFloatLE(identity, 12);
      bytes.writeBigUInt64LE(BigInt(key), 16);
      put(key, bytes);
    }
  for (let identity = 0; identity < classes; identity++)
    put(
      images + 1 + identity,
      frameRecord(
        imagePayload([first(identity), first(identity + 1)], images + 1 + identity, Buffer.alloc(0)),
      ),
    );
  flush();
  closeSync(rec);
  closeSync(idx);
  writeFileSync(join(dir, 'property'), `${classes},112,112`);
}
