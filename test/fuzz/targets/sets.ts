// Data sets of strangers: packs, verification sets, benchmarks, images.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import sharp from 'sharp';
import { openIjb } from '../../../core/data/benchmarks/ijb.ts';
import {
  decodeFeature,
  encodeFeature,
  openMegaface,
  readFeature,
  readImageList,
} from '../../../core/data/benchmarks/megaface.ts';
import { parseVerificationBin } from '../../../core/data/benchmarks/verification-bin.ts';
import { openDataset } from '../../../core/data/dataset.ts';
import { checkImage, imageSize, readImage } from '../../../core/data/images/image.ts';
import { IMAGE_BYTES } from '../../../core/data/images/pixels.ts';
import { openRecordFile } from '../../../core/data/packs/recordio.ts';
import { dataSchema } from '../../../core/spec/data.ts';
import { frameRecord, imagePayload } from '../../support/records.ts';
import { anyPickle } from '../pickles.ts';
import type { Sections, Target } from '../target.ts';

const grey = (value: number) => Buffer.concat([Buffer.from('P5 8 8 255\n'), Buffer.alloc(64, value)]);

function files(scratch: string, named: Readonly<Record<string, Uint8Array>>): void {
  for (const [name, bytes] of Object.entries(named)) {
    mkdirSync(dirname(join(scratch, name)), { recursive: true });
    writeFileSync(join(scratch, name), bytes);
  }
}

/** Records, index and property of a pack of five people with two images each. */
function pack(first: number, withHeader: boolean): Sections {
  const records: { key: number; payload: Buffer }[] = [];
  for (let i = 0; i < 10; i++)
    records.push({ key: first + i, payload: imagePayload([Math.floor(i / 2)], first + i, grey(10 * i)) });
  if (withHeader) {
    records.unshift({ key: 0, payload: imagePayload([11, 16], 0, Buffer.alloc(0)) });
    for (let c = 0; c < 5; c++)
      records.push({ key: 11 + c, payload: imagePayload([1 + 2 * c, 3 + 2 * c], 11 + c, Buffer.alloc(0)) });
  }
  let offset = 0;
  const lines: string[] = [];
  const framed = records.map(({ key, payload }) => {
    const bytes = frameRecord(payload);
    lines.push(`${key}\t${offset}\n`);
    offset += bytes.length;
    return bytes;
  });
  return [Buffer.concat(framed), Buffer.from(lines.join('')), Buffer.from('5,112,112')];
}

const packs: Target = {
  name: 'recordio-pack',
  cases: 10,
  decoders: [
    'core/data/packs/recordio.ts',
    'core/data/packs/record-index.ts',
    'core/data/packs/record-labels.ts',
    'core/data/packs/record-table.ts',
    'core/data/packs/record-window.ts',
    'core/data/packs/record-set.ts',
  ],
  corpus: () => [pack(1, true), pack(0, false), pack(5, false)],
  async decode([records, index, property], scratch) {
    files(scratch, { 'train.rec': records!, 'train.idx': index!, property: property! });
    const labels = records!.length % 2 === 0 ? 'strict' : 'renumber';
    const data = dataSchema.parse({ kind: 'recordio', path: scratch, holdout: 2, labels });
    const set = await openDataset(data);
    const into = new Uint8Array(IMAGE_BYTES);
    let fault: unknown;
    for (const split of [set.training, set.heldOut])
      for (let i = 0; i < Math.min(split.size, 20); i++)
        await split.read(i, into).catch((caught) => {
          fault ??= caught;
        });
    await set.close();
    if (fault !== undefined) throw fault;
  },
  // Labels up to 2^24 are counted in an array.
  memory: { times: 64, plus: 192 << 20 },
};

const records: Target = {
  name: 'recordio',
  cases: 15,
  decoders: ['core/data/packs/recordio.ts'],
  corpus: () => [pack(1, true), pack(0, false)].map(([bytes]) => [bytes!]),
  async decode([bytes], scratch) {
    files(scratch, { rec: bytes! });
    const file = await openRecordFile(join(scratch, 'rec'));
    try {
      for await (const { offset } of file.records()) await file.readHeaderAt(offset);
    } finally {
      await file.close();
    }
  },
};

const pickleFixtures = new URL('../../fixtures/pickles/cases.jsonl.gz', import.meta.url);

/** A few of the sets that different Pythons have written; those that are taken. */
function verificationSets(): Sections[] {
  const lines = gunzipSync(readFileSync(pickleFixtures)).toString('utf8').trim().split('\n');
  const sets = lines.map((line) => Buffer.from((JSON.parse(line) as { pickle: string }).pickle, 'base64'));
  return sets
    .filter((bytes, i) => {
      if (i % 10 !== 0) return false;
      try {
        parseVerificationBin(bytes, 'a set');
        return true;
      } catch {
        return false;
      }
    })
    .map((bytes) => [bytes]);
}

const verification: Target = {
  name: 'verification-bin',
  decoders: [
    'core/data/benchmarks/verification-bin.ts',
    'core/data/benchmarks/set-pickle.ts',
    'core/data/benchmarks/numpy-array.ts',
    'core/pickle-machine.ts',
  ],
  corpus: verificationSets,
  compose: (random) => [anyPickle(random)],
  decode: ([bytes]) => parseVerificationBin(bytes!, 'a set'),
  cases: 80,
};

const TEMPLATES = ['a.png 1 10', 'b.png 2 11', 'c.png 3 12'];
const POINTS = '38.2946 51.6963 73.5318 51.5014 56.0252 71.7366 41.5493 92.3655 70.7299 92.2041 0.9';

const ijb: Target = {
  name: 'ijb',
  cases: 10,
  decoders: [
    'core/data/benchmarks/ijb.ts',
    'core/data/benchmarks/text-lines.ts',
    'core/data/benchmarks/listed-image.ts',
  ],
  corpus: async () => [
    [
      Buffer.from(TEMPLATES.join('\n')),
      Buffer.from(TEMPLATES.map((line) => `${line.split(' ')[0]} ${POINTS}\n`).join('')),
      Buffer.from('1 2 0\n1 3 1\n'),
      await png(),
    ],
  ],
  async decode([members, points, pairs, image], scratch) {
    files(scratch, {
      'meta/ijbc_face_tid_mid.txt': members!,
      'meta/ijbc_name_5pts_score.txt': points!,
      'meta/ijbc_template_pair_label.txt': pairs!,
      ...Object.fromEntries(['a', 'b', 'c'].map((name) => [`loose_crop/${name}.png`, image!])),
    });
    const set = await openIjb(scratch);
    for await (const _ of set!.memberships());
    for await (const _ of set!.pairs());
    const into = new Uint8Array(IMAGE_BYTES);
    for await (const face of set!.faces()) await set!.readAligned(face, into);
  },
};

const megaface: Target = {
  name: 'megaface',
  cases: 10,
  decoders: ['core/data/benchmarks/megaface.ts'],
  corpus: () => {
    const feature = encodeFeature(Float32Array.of(1, 2, 3));
    const json = Buffer.from(JSON.stringify({ id: ['p', 'q'], path: ['p/1.png', 'q/1.png'] }));
    const lines = Buffer.from('p/1.png\np/2.png\n');
    return [[feature, json, lines, Buffer.from('# noisy\np/1.png remark\n')]];
  },
  async decode([feature, json, list, noise], scratch) {
    files(scratch, {
      'f.bin': feature!,
      'list.json': json!,
      facescrub_lst: list!,
      megaface_lst: list!,
      'facescrub_images/p/1.png': grey(1),
      'megaface_images/p/1.png': grey(2),
      'facescrub_noises.txt': noise!,
      'megaface_noises.txt': noise!,
    });
    const set = await openMegaface(scratch);
    for (const { path } of set!.probes.slice(0, 1)) {
      set!.noise!.probe(path);
      await set!.readProbe(path);
    }
    encodeFeature(decodeFeature(feature!, 'a feature'));
    await readFeature(join(scratch, 'f.bin'));
    await readImageList(join(scratch, 'list.json'));
  },
};

async function png(): Promise<Buffer> {
  return sharp(Buffer.alloc(40 * 30 * 3, 77), { raw: { width: 40, height: 30, channels: 3 } })
    .png()
    .toBuffer();
}

const images: Target = {
  name: 'images',
  decoders: ['core/data/images/image.ts', 'core/data/images/pnm.ts'],
  async corpus() {
    const noise = Buffer.from(Array.from({ length: 24 * 20 * 3 }, (_, i) => (i * 7919) % 251));
    const raw = () => sharp(noise, { raw: { width: 24, height: 20, channels: 3 } });
    return [
      [grey(3)],
      [Buffer.from('P2\n# a comment\n2 2\n255\n1 2 3 4\n')],
      [Buffer.from('P3 1 1 65535 1 2 65535')],
      [Buffer.concat([Buffer.from('P6 2 1 65535\n'), Buffer.alloc(12, 9)])],
      [await png()],
      [
        await raw()
          .jpeg()
          .withExif({ IFD0: { Orientation: '6' } })
          .toBuffer(),
      ],
      [await raw().jpeg({ progressive: true }).toBuffer()],
      [await raw().webp().toBuffer()],
      [await raw().webp({ lossless: true }).toBuffer()],
    ];
  },
  async decode([bytes]) {
    const size = await imageSize(bytes!);
    await checkImage(bytes!, size);
    await readImage(bytes!, new Uint8Array(IMAGE_BYTES));
  },
  // A header may claim 2^26 pixels of three bytes, and a decoder may hold them twice.
  memory: { times: 64, plus: 512 << 20 },
};

export const setTargets: readonly Target[] = [packs, records, verification, ijb, megaface, images];
