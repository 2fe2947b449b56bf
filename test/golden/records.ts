// Checks the record and verification-set readers against the fixtures in records/: framing, labels and bytes exactly, decoded
// pixels within what another JPEG decoder may differ by (3 grey levels, means by 1). Decides the comparison only.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readVerificationBin } from '../../core/data/benchmarks/verification-bin.ts';
import { decodeImage } from '../../core/data/images/image.ts';
import { readRecordIndex } from '../../core/data/packs/record-index.ts';
import { openRecordSet } from '../../core/data/packs/record-set.ts';
import { openRecordFile, parseImageRecord } from '../../core/data/packs/recordio.ts';
import { type CheckRow, largestDifference, row } from './verification.ts';

interface GoldenImage {
  bytes: number;
  sha256: string;
  width: number;
  height: number;
  mean_rgb: number[];
  corner_rgb: number[];
  centre_rgb: number[];
}
interface GoldenRecord {
  key: number;
  offset: number;
  framed_bytes: number;
  payload_bytes: number;
  continuation_flags: number[];
  header_flag: number;
  labels: number[];
  id: number;
  class?: number | null;
  image?: GoldenImage | null;
}
interface GoldenPack {
  images: number;
  image_keys: [number, number];
  classes?: number;
  records: GoldenRecord[];
}
interface Golden {
  main: GoldenPack;
  plain: GoldenPack;
  bins: { pairs: number; issame: boolean[]; images: GoldenImage[]; files: Record<string, unknown> };
}

/** `dir` is the fixtures' records/ folder; `scale` multiplies the tolerances of decoded pixels (the rest is exact). */
export async function checkRecords(dir: string, scale: number): Promise<CheckRow[]> {
  const golden = JSON.parse(readFileSync(join(dir, 'expected.json'), 'utf8')) as Golden;
  const rows = [
    ...(await checkPack({ dir, name: 'train.rec', golden: golden.main, scale })),
    ...(await checkPack({ dir: join(dir, 'plain'), name: 'plain/train.rec', golden: golden.plain, scale })),
  ];
  for (const file of Object.keys(golden.bins.files)) rows.push(...(await checkBin(dir, file, golden, scale)));
  return rows;
}

async function checkPack(options: { dir: string; name: string; golden: GoldenPack; scale: number }) {
  const { dir, name, golden, scale } = options;
  const rows: CheckRow[] = [];
  const exact = (check: string, a: ArrayLike<number>, b: ArrayLike<number>) =>
    rows.push(row(name, check, largestDifference(a, b), 0));
  const index = await readRecordIndex(join(dir, 'train.idx'));
  const offsets = new Map(Array.from(index.keys, (key, i) => [key, index.offsets[i]!]));
  exact('index size', [offsets.size], [golden.records.length]);
  const file = await openRecordFile(join(dir, 'train.rec'));
  try {
    for (const want of golden.records) {
      const raw = await file.readAt(offsets.get(want.key) ?? file.bytes);
      const got = parseImageRecord(raw.payload, { path: file.path, offset: raw.offset });
      exact(
        `key ${want.key}: place and framing`,
        [raw.offset, raw.framedBytes, raw.payload.length, ...raw.flags],
        [want.offset, want.framed_bytes, want.payload_bytes, ...want.continuation_flags],
      );
      exact(
        `key ${want.key}: header and labels`,
        [got.headerFlag, got.id, ...got.labels],
        [want.header_flag, want.id, ...want.labels],
      );
      if (want.image) rows.push(...(await checkImage(name, `key ${want.key}`, got.image, want.image, scale)));
      else exact(`key ${want.key}: no image`, [got.image.length], [0]);
    }
    const inOrder: number[] = [];
    for await (const record of file.records()) inOrder.push(record.offset);
    exact(
      'records in the order of the file',
      inOrder,
      golden.records.map((record) => record.offset).sort((a, b) => a - b),
    );
  } finally {
    await file.close();
  }
  rows.push(...(await checkSet(dir, name, golden)));
  return rows;
}

/** The pack as a training set: which keys are images, and of which class. */
async function checkSet(dir: string, name: string, golden: GoldenPack): Promise<CheckRow[]> {
  const set = await openRecordSet(dir);
  try {
    const [first, last] = golden.image_keys;
    const images = golden.records
      .filter((record) => record.key >= first && record.key <= last)
      .sort((a, b) => a.key - b.key);
    return [
      row(name, 'images', largestDifference([set.size], [golden.images]), 0),
      row(
        name,
        'image keys',
        largestDifference(
          Array.from({ length: set.size }, (_, i) => set.key(i)),
          images.map((record) => record.key),
        ),
        0,
      ),
      row(
        name,
        'classes',
        largestDifference(
          Array.from({ length: set.size }, (_, i) => set.label(i)),
          images.map((record) => record.class ?? Number.NaN),
        ),
        0,
      ),
      ...(golden.classes === undefined
        ? []
        : [row(name, 'number of classes', largestDifference([set.classes], [golden.classes]), 0)]),
    ];
  } finally {
    await set.close();
  }
}

async function checkBin(dir: string, file: string, golden: Golden, scale: number): Promise<CheckRow[]> {
  const bin = await readVerificationBin(join(dir, file));
  const rows = [
    row(
      file,
      'pairs',
      largestDifference([bin.same.length, bin.images.length], [golden.bins.pairs, 2 * golden.bins.pairs]),
      0,
    ),
    row(file, 'truth values', largestDifference(bin.same.map(Number), golden.bins.issame.map(Number)), 0),
  ];
  for (const [i, want] of golden.bins.images.entries())
    rows.push(...(await checkImage(file, `image ${i}`, bin.images[i] ?? new Uint8Array(), want, scale)));
  return rows;
}

async function checkImage(
  file: string,
  what: string,
  bytes: Uint8Array,
  want: GoldenImage,
  scale: number,
): Promise<CheckRow[]> {
  const digest = createHash('sha256').update(bytes).digest('hex');
  const same = digest === want.sha256 && bytes.length === want.bytes;
  const rows = [row(file, `${what}: bytes`, same ? 0 : 1, 0)];
  const { width, height, rgb } = await decodeImage(bytes);
  rows.push(row(file, `${what}: size`, largestDifference([width, height], [want.width, want.height]), 0));
  const pixel = (x: number, y: number) => rgb.subarray((y * width + x) * 3, (y * width + x) * 3 + 3);
  const means = [0, 1, 2].map((c) => {
    let sum = 0;
    for (let i = c; i < rgb.length; i += 3) sum += rgb[i]!;
    return sum / (width * height);
  });
  rows.push(
    row(file, `${what}: mean colour`, largestDifference(means, want.mean_rgb), scale),
    row(
      file,
      `${what}: corner and centre`,
      largestDifference(
        [...pixel(0, 0), ...pixel(width >> 1, height >> 1)],
        [...want.corner_rgb, ...want.centre_rgb],
      ),
      3 * scale,
    ),
  );
  return rows;
}
