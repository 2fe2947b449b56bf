// Embeddings of single images that a worker keeps: for each stage of a teacher one row for an image and one for its
// mirror image. Students of several orders, and the epochs of one that learns from one stage, take them from here. Decides
// which stages stay: the most recently used, within a bound of bytes.

import { rowsBytesOf } from '../../core/spec/share.ts';

/** What the bits of a row follow from, beside the image and whether it is mirrored. */
export interface RowsKey {
  /** Of the stage's backbone and running statistics, SHA-256, hex. */
  readonly network: string;
  /** Names the data set by its content (`dataKeyOf`). */
  readonly data: string;
  /** Device class and code; `any` where equal bits are not promised. */
  readonly device: string;
  /** Sizes of batches whose rows have equal bits (`RowProofs`). */
  readonly group: number;
}

/** The rows of one stage. */
export interface StageRows {
  has(image: number, isMirrored: boolean): boolean;
  /** Copies a row that is there into `into`, [E]. */
  read(image: number, isMirrored: boolean, into: Float32Array): void;
  keep(image: number, isMirrored: boolean, row: Float32Array): void;
  /** Works that find and compute rows follow one another, so that none is computed twice. */
  alone<T>(work: () => Promise<T>): Promise<T>;
}

/** How large the rows of a stage are. */
export interface RowsSize {
  /** Images of the training split. */
  readonly images: number;
  /** 2: each image and its mirror image; 1: no image is mirrored. */
  readonly flips: 1 | 2;
  /** E */
  readonly embedding: number;
}

/** A row that was computed. */
export interface ComputedRow {
  /** Index of the image in the training split. */
  readonly image: number;
  readonly isMirrored: boolean;
  /** [E] */
  readonly values: Float32Array;
}

/** The rows of all stages on a worker. */
export interface TeacherRows {
  /** The rows of a stage; undefined where all of them need more than `bytesMax`. */
  of(key: RowsKey, size: RowsSize, bytesMax: number): StageRows | undefined;
  /** Those that are kept; undefined where none are. */
  kept(key: RowsKey, size: RowsSize): StageRows | undefined;
}

/** Rows that workers have from each other. */
export interface RowSharing {
  /** From now on rows of this stage that others compute are kept, for as long as rows of it are kept here. */
  follow(key: RowsKey, size: RowsSize): void;
  /** To all that follow the stage. */
  tell(key: RowsKey, size: RowsSize, computed: readonly ComputedRow[]): void;
  close(): void;
}

export function createTeacherRows(): TeacherRows {
  /** The one that was used last comes last. */
  const stages = new Map<string, { readonly rows: StageRows; readonly bytes: number }>();
  let bytesKept = 0;
  const nameOf = ({ network, data, device, group }: RowsKey, { flips }: RowsSize) =>
    `${network}/${group}/${flips}/${device}/${data}`;
  return {
    kept: (key, size) => stages.get(nameOf(key, size))?.rows,
    of(key, size, bytesMax) {
      const bytes = rowsBytesOf(size);
      if (bytes > bytesMax) return undefined;
      const name = nameOf(key, size);
      const known = stages.get(name);
      stages.delete(name);
      if (known === undefined) bytesKept += bytes;
      for (const [other, { bytes: freed }] of stages) {
        if (bytesKept <= bytesMax) break;
        stages.delete(other);
        bytesKept -= freed;
      }
      const kept = known ?? { rows: stageRows(size), bytes };
      stages.set(name, kept);
      return kept.rows;
    },
  };
}

function stageRows({ images, flips, embedding }: RowsSize): StageRows {
  // The system gives memory to pages that are written alone.
  const values = new Float32Array(images * flips * embedding);
  const isThere = new Uint8Array(images * flips);
  let last: Promise<unknown> = Promise.resolve();
  const placeOf = (image: number, isMirrored: boolean) => image * flips + (isMirrored ? 1 : 0);
  return {
    has: (image, isMirrored) => isThere[placeOf(image, isMirrored)] === 1,
    read(image, isMirrored, into) {
      const at = placeOf(image, isMirrored) * embedding;
      into.set(values.subarray(at, at + embedding));
    },
    keep(image, isMirrored, row) {
      const place = placeOf(image, isMirrored);
      values.set(row, place * embedding);
      isThere[place] = 1;
    },
    alone(work) {
      const done = last.then(work, work);
      last = done.catch(() => undefined);
      return done;
    },
  };
}
