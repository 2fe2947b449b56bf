// Blocks of teacher embeddings on a worker. A block is what the teacher's network gives for one shard batch, raw
// embeddings [b, E]. It is keyed by what its bits follow from: the network's values, the order of the images,
// step and shard. Students of one order share it, so that the teacher's forward pass runs once for all of
// them here. Keyed by position and not by image, because the rows of one batch may come from different kernel
// code (docs/distillation.md). Decides which blocks stay: the most recently used, within a bound of bytes.

import { LRUCache } from 'lru-cache';

/** What the bits of a block follow from, within one device class. */
export interface BlockKey {
  /** Of the stage's backbone and running statistics, SHA-256, hex. */
  readonly network: string;
  /** Names data, order, augmentation and how a step is cut into shards; core/spec/order-key.ts. */
  readonly order: string;
  readonly step: number;
  readonly shard: number;
}

export interface TeacherBlocks {
  /**
   * The block [b, E]. `compute` is called unless the block is there or being computed; `isShared` says that it
   * was not called. Whoever gets a block must not change it.
   */
  get(
    key: BlockKey,
    compute: () => Promise<Float32Array>,
  ): { readonly block: Promise<Float32Array>; readonly isShared: boolean };
}

/** At S-128's size (64 images a shard, E = 128) 2,000 blocks: 250 steps of 8 shards. */
const BYTES_MAX = 64 * 2 ** 20;

export function createTeacherBlocks(options: { readonly bytesMax?: number } = {}): TeacherBlocks {
  const { bytesMax = BYTES_MAX } = options;
  const open = new Map<string, Promise<Float32Array>>();
  const kept = new LRUCache<string, Float32Array>({
    maxSize: bytesMax,
    sizeCalculation: ({ byteLength }) => Math.max(1, byteLength),
  });
  return {
    get({ network, order, step, shard }, compute) {
      const name = `${network}/${order}/${step}/${shard}`;
      const known = kept.get(name);
      if (known !== undefined) return { block: Promise.resolve(known), isShared: true };
      const awaited = open.get(name);
      if (awaited !== undefined) return { block: awaited, isShared: true };
      const block = compute().then(
        (values) => {
          open.delete(name);
          kept.set(name, values);
          return values;
        },
        (caught: unknown) => {
          // Whoever asks next computes it again.
          open.delete(name);
          throw caught;
        },
      );
      open.set(name, block);
      return { block, isShared: false };
    },
  };
}
