// Embeds images with the network of a model file in this process. The compiled evaluation graph always gets
// batches of one size, of images and of their mirror images; the next batch is read while one is computed.

import { join } from 'node:path';
import { cacheFolder } from '../../core/config.ts';
import { IMAGE_BYTES } from '../../core/data/images/pixels.ts';
import type { ImportedModel } from '../../core/model/import.ts';
import { embeddingFunction } from '../../core/nn/step-function.ts';
import { canonicalJson } from '../../core/spec/canonical-json.ts';
import { compileGraph } from '../../core/tensor/graph/compiled.ts';
import { mirrored } from './images.ts';

/** Images a run of the graph; the same for every set, so that a set's numbers do not depend on the others. */
const EMBEDDING_BATCH = 16;

/** Writes the pixels of image `index`, RGB, into a place of 112 x 112 x 3 bytes. */
export type ReadImage = (index: number, into: Uint8Array) => Promise<void>;

export interface EmbeddedBatch {
  /** Index of the first image, and how many there are. */
  readonly from: number;
  readonly count: number;
  /** Raw embeddings [count, E] of the images and of their mirror images. */
  readonly plain: Float32Array;
  readonly flipped: Float32Array;
}

export interface Embedder {
  readonly size: number;
  embed(count: number, read: ReadImage): AsyncGenerator<EmbeddedBatch>;
  close(): void;
}

export function createEmbedder(model: ImportedModel): Embedder {
  const { network, layout, weights, running } = model;
  const graph = compileGraph({
    key: `verify-file/${canonicalJson(network.spec)}`,
    cacheDir: join(cacheFolder(), 'graphs'),
    ...embeddingFunction({ network, layout, batch: EMBEDDING_BATCH }),
  });
  const run = (images: Uint8Array, count: number): Float32Array =>
    graph.run([weights, running, images])[0]!.subarray(0, count * network.embedding);
  return {
    size: network.embedding,
    async *embed(count, read) {
      let next = count > 0 ? readBatch(0, count, read) : undefined;
      for (let from = 0; from < count; from += EMBEDDING_BATCH) {
        const images = await next!;
        const after = from + EMBEDDING_BATCH;
        next = after < count ? readBatch(after, count, read) : undefined;
        // A failure to read the next batch is thrown when its turn comes; until then it must not count as
        // unhandled.
        next?.catch(() => undefined);
        const filled = Math.min(EMBEDDING_BATCH, count - from);
        yield {
          from,
          count: filled,
          plain: run(images, filled),
          flipped: run(mirrored(images, EMBEDDING_BATCH), filled),
        };
      }
    },
    close: () => graph.dispose(),
  };
}

/** The last batch is filled up with black images, whose embeddings are dropped. */
async function readBatch(from: number, count: number, read: ReadImage): Promise<Uint8Array> {
  const images = new Uint8Array(EMBEDDING_BATCH * IMAGE_BYTES);
  const size = Math.min(EMBEDDING_BATCH, count - from);
  await Promise.all(
    Array.from({ length: size }, (_, i) =>
      read(from + i, images.subarray(i * IMAGE_BYTES, (i + 1) * IMAGE_BYTES)),
    ),
  );
  return images;
}
