// Writes small benchmarks for tests: a `.bin` as Python 3 pickles it, an IJB folder and a MegaFace folder.
// Faces are drawn by the built-in generator and aligned already; images of one person differ.

import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { openDataset } from '../../core/data/dataset.ts';
import { TEMPLATE } from '../../core/data/images/align.ts';
import { encodePng } from '../../core/data/images/image.ts';
import { dataSchema } from '../../core/spec/data.ts';

/** PNG files of `people` people with `images` images each. */
export async function drawnFaces(people: number, images: number): Promise<Buffer[][]> {
  const spec = { kind: 'synthetic', identities: people + 2, images, holdout: 2, difficulty: 0.3 };
  const dataset = await openDataset(dataSchema.parse(spec));
  try {
    const { training } = dataset;
    const faces: Buffer[][] = Array.from({ length: people }, () => []);
    for (let i = 0; i < training.size; i++) {
      const rgb = new Uint8Array(112 * 112 * 3);
      await training.read(i, rgb);
      faces[training.label(i)]?.push(await encodePng({ width: 112, height: 112, rgb }));
    }
    return faces;
  } finally {
    await dataset.close();
  }
}

/** Pairs of images, genuine and impostor in turn: (list of bytes, list of booleans) in protocol 4. */
export function verificationBin(faces: readonly (readonly Buffer[])[]): Buffer {
  const pairs = faces.flatMap((own, person) => {
    const other = faces[(person + 1) % faces.length]!;
    return [
      { images: [own[0]!, own[1]!], same: true },
      { images: [own[0]!, other[1]!], same: false },
    ];
  });
  const bytes = (image: Buffer): Buffer => {
    const head = Buffer.from([0x42, 0, 0, 0, 0]);
    head.writeUInt32LE(image.length, 1);
    return Buffer.concat([head, image]);
  };
  return Buffer.concat([
    Buffer.from([0x80, 4, 0x5d, 0x28]),
    ...pairs.flatMap((pair) => pair.images.map(bytes)),
    Buffer.from([0x65, 0x5d, 0x28, ...pairs.map((pair) => (pair.same ? 0x88 : 0x89)), 0x65, 0x86, 0x2e]),
  ]);
}

/**
 * One template a person from all but the last image (two media), and one from the last image; every pair of
 * the two sorts.
 */
export async function writeIjb(folder: string, faces: readonly (readonly Buffer[])[]): Promise<void> {
  const members: string[] = [];
  const landmarks: string[] = [];
  for (const [person, images] of faces.entries())
    for (const [i, image] of images.entries()) {
      const name = `${person}_${i}.png`;
      const last = i === images.length - 1;
      await writeTo(join(folder, 'loose_crop', name), image);
      members.push(`${name} ${last ? 100 + person : person} ${person * 10 + (i % 2)}`);
      landmarks.push(`${name} ${TEMPLATE.flat().join(' ')} 0.${9 - (i % 3)}`);
    }
  const pairs = faces.flatMap((_, a) => faces.map((_, b) => `${a} ${100 + b} ${a === b ? 1 : 0}`));
  await writeTo(join(folder, 'meta/ijbc_face_tid_mid.txt'), `${members.join('\n')}\n`);
  await writeTo(join(folder, 'meta/ijbc_name_5pts_score.txt'), `${landmarks.join('\n')}\n`);
  await writeTo(join(folder, 'meta/ijbc_template_pair_label.txt'), `${pairs.join('\n')}\n`);
}

/** The first people are probes, the others distractors. One image of each is listed as noisy. */
export async function writeMegaface(
  folder: string,
  faces: readonly (readonly Buffer[])[],
  probePeople: number,
): Promise<void> {
  const lists = { facescrub: [] as string[], megaface: [] as string[] };
  for (const [person, images] of faces.entries())
    for (const [i, image] of images.entries()) {
      const set = person < probePeople ? 'facescrub' : 'megaface';
      const name = `p${person}/${i}.png`;
      await writeTo(join(folder, `${set}_images`, name), image);
      lists[set].push(name);
    }
  for (const set of ['facescrub', 'megaface'] as const) {
    await writeTo(join(folder, `${set}_lst`), `${lists[set].join('\n')}\n`);
    await writeTo(join(folder, `${set}_noises.txt`), `# noisy\n${lists[set][0]}\n`);
  }
}

async function writeTo(path: string, content: string | Buffer): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content);
}
