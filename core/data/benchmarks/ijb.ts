// The layout of IJB-B and IJB-C as InsightFace distributes them: `loose_crop/` with images, and in `meta/`
// three text files (faces with template and media, pairs of templates with their truth, landmarks with
// detector scores). Decides what a well-formed one is, and reads it as a stream.

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { FleetError, toFleetError } from '../../errors.ts';
import { excerpt } from '../../text/printable.ts';
import { alignFace, type FivePoints, type PointXY } from '../images/align.ts';
import { decodeImage } from '../images/image.ts';
import { readListedImage } from './listed-image.ts';
import { fieldBatches, numberOf } from './text-lines.ts';

export interface IjbFace {
  readonly name: string;
  readonly template: number;
  readonly media: number;
  readonly points: FivePoints;
  /** The detector's confidence; features are multiplied by it. */
  readonly score: number;
}

export interface TemplatePair {
  readonly a: number;
  readonly b: number;
  readonly same: boolean;
}

export interface IjbSet {
  readonly kind: 'ijbb' | 'ijbc';
  /** Template and media of every face, in the order of the faces: a first pass that counts. */
  memberships(): AsyncGenerator<readonly (readonly [template: number, media: number])[]>;
  faces(): AsyncGenerator<IjbFace>;
  pairs(): AsyncGenerator<readonly TemplatePair[]>;
  /** The aligned face, bytes [112, 112, 3]. */
  readAligned(face: IjbFace, into: Uint8Array): Promise<void>;
}

const MEMBERSHIPS = /^(ijb[bc])_face_tid_mid\.txt$/;

/** undefined where the folder is no IJB set. */
export async function openIjb(folder: string): Promise<IjbSet | undefined> {
  const meta = join(folder, 'meta');
  const names = await readdir(meta).catch((): string[] => []);
  const kind = names.map((name) => MEMBERSHIPS.exec(name)?.[1]).find((found) => found !== undefined);
  if (kind !== 'ijbb' && kind !== 'ijbc') return undefined;
  const file = (suffix: string): string => join(meta, `${kind}_${suffix}.txt`);
  for (const suffix of ['template_pair_label', 'name_5pts_score'])
    if (!names.includes(`${kind}_${suffix}.txt`))
      throw new FleetError('notFound', `${folder} is an ${kind} set without ${file(suffix)}`);
  return {
    kind,
    async *memberships() {
      const path = file('face_tid_mid');
      for await (const rows of fieldBatches(path, 3))
        yield rows.map(([, template, media]) => [numberOf(template, path), numberOf(media, path)] as const);
    },
    faces: () => faces(file('face_tid_mid'), file('name_5pts_score')),
    async *pairs() {
      const path = file('template_pair_label');
      for await (const rows of fieldBatches(path, 3))
        yield rows.map(([a, b, label]) => ({
          a: numberOf(a, path),
          b: numberOf(b, path),
          same: truth(label, path),
        }));
    },
    async readAligned(face, into) {
      const bytes = await readListedImage(join(folder, 'loose_crop'), face.name);
      try {
        alignFace(await decodeImage(bytes), face.points, into);
      } catch (caught) {
        throw toFleetError(caught, excerpt(face.name));
      }
    },
  };
}

/**
 * Both files list the faces in one order; a line that disagrees would mix up people silently, so it is
 * refused.
 */
async function* faces(memberships: string, landmarks: string): AsyncGenerator<IjbFace> {
  const others = rows(landmarks, 12);
  try {
    for await (const [name = '', template, media] of rows(memberships, 3)) {
      const { value } = await others.next();
      if (value === undefined || value[0] !== name)
        throw new FleetError(
          'invalidArgument',
          `${landmarks} has ${excerpt(value?.[0] ?? 'no more lines')} where ${memberships} has ${excerpt(name)}; they list faces in one order`,
        );
      const numbers = value.slice(1).map((field) => numberOf(field, landmarks));
      yield {
        name,
        template: numberOf(template, memberships),
        media: numberOf(media, memberships),
        points: [0, 1, 2, 3, 4].map(
          (i): PointXY => [numbers[2 * i]!, numbers[2 * i + 1]!],
        ) as unknown as FivePoints,
        score: numbers[10]!,
      };
    }
    const { value } = await others.next();
    if (value !== undefined)
      throw new FleetError(
        'invalidArgument',
        `${landmarks} has ${excerpt(value[0] ?? '')}, which ${memberships} has not`,
      );
  } finally {
    // A refused line of one file leaves the other file open in the middle.
    await others.return(undefined);
  }
}

async function* rows(path: string, count: number): AsyncGenerator<string[], undefined> {
  for await (const batch of fieldBatches(path, count)) yield* batch;
}

function truth(field: string | undefined, path: string): boolean {
  if (field === '1') return true;
  if (field === '0') return false;
  throw new FleetError('invalidArgument', `${path}: label "${excerpt(field ?? '', 8)}" is neither 0 nor 1`);
}
