// Networks with weights for tests of model files: repeatable weights and running statistics in which every
// value matters, images, and embeddings as the compiled evaluation graph gives them.

import { buildNetwork } from '../../core/nn/build.ts';
import { initialWeights } from '../../core/nn/init.ts';
import { type Layout, layoutOf } from '../../core/nn/layout.ts';
import type { Network } from '../../core/nn/network.ts';
import { embeddingFunction } from '../../core/nn/step-function.ts';
import { type NetworkSpec, networkSchema } from '../../core/spec/network.ts';
import { compileGraph } from '../../core/tensor/graph/compiled.ts';
import { OWN_CELLS } from './genotypes.ts';
import { numbers } from './tensors.ts';

export interface TestModel {
  readonly network: Network;
  readonly layout: Layout;
  readonly weights: Float32Array;
  readonly running: Float32Array;
}

/** Initial weights, then scales, shifts, slopes and running statistics moved off their neutral values. */
export function testModel(spec: NetworkSpec, seed = 1): TestModel {
  const network = buildNetwork(spec);
  const layout = layoutOf(network);
  const weights = initialWeights(layout, seed);
  const noise = numbers(layout.parameterCount, seed);
  for (const slot of layout.parameters)
    if (slot.shape.length === 1)
      for (let i = slot.offset; i < slot.offset + slot.size; i++) weights[i]! += 0.2 * noise[i]!;
  const running = numbers(layout.runningCount, seed + 1).map((value) => 0.3 * value);
  for (const slot of layout.running)
    if (slot.role === 'running_var')
      for (let i = slot.offset; i < slot.offset + slot.size; i++) running[i] = 1 + running[i]!;
  return { network, layout, weights, running };
}

/**
 * Bytes of images [count, 112, 112, 3] with structure of several sizes, so that no two pixels agree by
 * accident.
 */
export function testImages(count: number, seed = 5): Uint8Array {
  const noise = numbers(count * 112 * 112 * 3, seed);
  return Uint8Array.from(noise, (value, i) => {
    const x = Math.floor(i / 3) % 112;
    const y = Math.floor(i / 336) % 112;
    return 128 + 60 * Math.sin(x / 9 + i) * Math.cos(y / 13) + 60 * value;
  });
}

/** Raw embeddings [count, E] in evaluation mode. */
export function embeddingsOf(model: TestModel, images: Uint8Array): Float32Array {
  const batch = images.length / (112 * 112 * 3);
  const graph = compileGraph({ key: 'test', ...embeddingFunction({ ...model, batch }) });
  try {
    return graph.run([model.weights, model.running, images])[0]!;
  } finally {
    graph.dispose();
  }
}

/** Largest difference over the largest expected value. */
export function worstError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  let difference = 0;
  let largest = 0;
  for (let i = 0; i < expected.length; i++) {
    // NaN must not hide behind a comparison.
    if (!Number.isFinite(actual[i]!)) return Number.POSITIVE_INFINITY;
    difference = Math.max(difference, Math.abs(actual[i]! - expected[i]!));
    largest = Math.max(largest, Math.abs(expected[i]!));
  }
  return difference / largest;
}

/** [N, C, H, W] bytes as [N, H, W, C]. */
export function channelsLastBytes(bytes: Uint8Array, count: number): Uint8Array {
  const out = new Uint8Array(bytes.length);
  for (let image = 0; image < count; image++)
    for (let channel = 0; channel < 3; channel++)
      for (let place = 0; place < 12544; place++)
        out[(image * 12544 + place) * 3 + channel] = bytes[(image * 3 + channel) * 12544 + place]!;
  return out;
}

/** Images as exported graphs take them: normalised, [N, C, H, W]. */
export function normalisedPlanes(images: Uint8Array): Float32Array {
  const planes = new Float32Array(images.length);
  for (let i = 0; i < images.length; i++) {
    const image = Math.floor(i / 37632);
    const place = Math.floor((i % 37632) / 3);
    planes[image * 37632 + (i % 3) * 12544 + place] = (images[i]! / 255 - 0.5) / 0.5;
  }
  return planes;
}

/** One of each kind that is exported; every layer and every fold occurs in one of them. */
export const EXPORTED_NETWORKS = {
  'a PocketNet of the published genotype': networkSchema.parse({
    kind: 'pocketnet',
    channels: 4,
    layers: 6,
    embedding: 16,
  }),
  'a PocketNet with every operation': networkSchema.parse({
    kind: 'pocketnet',
    channels: 4,
    layers: 5,
    embedding: 8,
    genotype: {
      ...OWN_CELLS,
      normal: OWN_CELLS.normal.with(3, [
        ['skip_connect', 4],
        ['skip_connect', 0],
      ]),
    },
  }),
  'an IResNet': networkSchema.parse({
    kind: 'iresnet',
    blocks: [1, 2, 1, 1],
    widths: [4, 8, 16, 32],
    stem: 8,
    embedding: 16,
  }),
  'a MobileFaceNet': networkSchema.parse({ kind: 'mobilefacenet', embedding: 32 }),
} as const;
