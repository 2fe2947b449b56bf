// The embeddings of a shard batch from rows that are kept, where the rows of the teacher's network depend on neither
// batch nor place. Decides what a pass is filled with: what the batch lacks, and in the places that are left over the
// mirror images of its images, which a later epoch needs. So two passes serve all epochs of a stage.

import { IMAGE_BYTES, mirror } from '../../core/data/images/pixels.ts';
import type { ComputedRow, StageRows } from './teacher-rows.ts';

/** An image of a batch. */
export interface RowSample {
  /** Index of the image in the training split. */
  readonly index: number;
  readonly flip: boolean;
}

/** Embeddings of a batch, and what they took. */
export interface ByImage {
  /** [b, E] */
  readonly values: Float32Array;
  /** Images of the batch whose rows were there. */
  readonly kept: number;
  /** Images that went through the network, b or 0. */
  readonly computed: number;
  /** The rows that this gave. */
  readonly fresh: readonly ComputedRow[];
}

/** A row that is computed: of the image at a place of the batch, or of its mirror image. */
interface Wanted {
  readonly place: number;
  readonly isMirrored: boolean;
  /** The batch has it the other way round. */
  readonly isOther: boolean;
}

/**
 * `images`: RGB bytes of the samples as the student sees them, [b, 112, 112, 3]. `pass` gives the rows of b images,
 * [b, E]. `flips` 2: a later epoch may see an image the other way round.
 */
export function embedByImage(of: {
  readonly samples: readonly RowSample[];
  readonly images: Uint8Array;
  readonly rows: StageRows;
  readonly flips: 1 | 2;
  readonly embedding: number;
  readonly pass: (images: Uint8Array) => Promise<Float32Array>;
}): Promise<ByImage> {
  const { samples, images, rows, flips, embedding, pass } = of;
  return rows.alone(async () => {
    const { wanted, missing } = wantedOf(samples, rows, flips);
    let fresh: readonly ComputedRow[] = [];
    if (missing > 0) {
      const found = await pass(gathered(wanted, images, samples.length));
      fresh = wanted.map(({ place, isMirrored }, row) => ({
        ...{ image: samples[place]!.index, isMirrored },
        values: found.subarray(row * embedding, (row + 1) * embedding),
      }));
      for (const row of fresh) rows.keep(row.image, row.isMirrored, row.values);
    }
    const values = new Float32Array(samples.length * embedding);
    for (const [place, { index, flip }] of samples.entries())
      rows.read(index, flip, values.subarray(place * embedding, (place + 1) * embedding));
    return { values, kept: samples.length - missing, computed: missing > 0 ? samples.length : 0, fresh };
  });
}

/** What a pass computes: at most as many rows as the batch has, those that the batch lacks first. */
function wantedOf(samples: readonly RowSample[], rows: StageRows, flips: 1 | 2) {
  const wanted: Wanted[] = [];
  const seen = new Set<string>();
  const want = (place: number, isOther: boolean) => {
    const { index, flip } = samples[place]!;
    const isMirrored = flip !== isOther;
    const name = `${index}/${isMirrored}`;
    if (rows.has(index, isMirrored) || seen.has(name)) return;
    seen.add(name);
    wanted.push({ place, isMirrored, isOther });
  };
  for (let place = 0; place < samples.length; place++) want(place, false);
  const missing = wanted.length;
  if (flips === 2 && missing > 0)
    for (let place = 0; place < samples.length && wanted.length < samples.length; place++) want(place, true);
  return { wanted, missing };
}

/** The images of a pass over `batch` images; places that are left over have the first one again. */
function gathered(wanted: readonly Wanted[], images: Uint8Array, batch: number): Uint8Array {
  const isBatch = wanted.length === batch && wanted.every(({ place, isOther }, i) => place === i && !isOther);
  if (isBatch) return images;
  const out = new Uint8Array(batch * IMAGE_BYTES);
  for (let row = 0; row < batch; row++) {
    const { place, isOther } = wanted[row] ?? wanted[0]!;
    const image = images.subarray(place * IMAGE_BYTES, (place + 1) * IMAGE_BYTES);
    const into = out.subarray(row * IMAGE_BYTES, (row + 1) * IMAGE_BYTES);
    if (isOther) mirror(image, into);
    else into.set(image);
  }
  return out;
}
