// Whether embeddings of a teacher can travel in the fleet's stream: the block of one shard batch is one message.

/** Bytes of a block at most: a broker takes messages of 1 MiB where it is not told otherwise, and headers need some. */
export const BLOCK_BYTES_MAX = 1_000_000;

/** Bytes of the embeddings of one shard batch as float32. `batch`: of all shards; `embedding`: width E. */
export function blockBytesOf(of: {
  readonly batch: number;
  readonly shards: number;
  readonly embedding: number;
}): number {
  return (of.batch / of.shards) * of.embedding * Float32Array.BYTES_PER_ELEMENT;
}
