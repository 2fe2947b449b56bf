// How large the embeddings of a teacher are: the block of one shard batch, which is one message of the fleet's stream, and
// the rows of all images of a stage, which workers may keep.

/** Bytes of a block at most: a broker takes messages of 1 MiB where it is not told otherwise, and headers need some. */
export const BLOCK_BYTES_MAX = 1_000_000;

/**
 * Bytes of the embeddings of one shard batch as float32, which a block of float16 may have to be
 * (worker/training/block-form.ts). `batch`: of all shards; `embedding`: width E.
 */
export function blockBytesOf(of: {
  readonly batch: number;
  readonly shards: number;
  readonly embedding: number;
}): number {
  return (of.batch / of.shards) * of.embedding * Float32Array.BYTES_PER_ELEMENT;
}

/**
 * Bytes of a row for each image of a training split as float32, and of the marks that say which are there. `flips` 2: and
 * for its mirror image.
 */
export function rowsBytesOf(of: {
  readonly images: number;
  readonly flips: 1 | 2;
  readonly embedding: number;
}): number {
  return of.images * of.flips * (of.embedding * Float32Array.BYTES_PER_ELEMENT + 1);
}
