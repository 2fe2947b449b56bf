// The training steps that are measured on a GPU, by names such as `S-128-64` (network, images), and what they are
// fed. Both sides, the machine that packs and the one that runs, make the same numbers from the name.

import { IRESNET_BLOCKS } from '../../core/nn/iresnet.ts';
import { uniforms } from '../../core/rng.ts';
import type { NetworkSpec } from '../../core/spec/network.ts';
import { embeddingWorks, LOSS, type Prepared, prepare, trainingWorks, type Work } from '../train/work.ts';

const CLASSES = 1000;

/** The step of this name. Throws where there is none. */
export function stepNamed(name: string): { readonly prepared: Prepared; readonly loss: typeof LOSS } {
  const [, network = '', batch = '0'] = /^(.+)-(\d+)$/.exec(name) ?? [];
  const images = Number(batch);
  const found = [...trainingWorks(images), ...teachers(images), rehearsal(images)].find(
    (work) => work.name === network,
  );
  if (found === undefined || !(images > 0))
    throw new Error(`there is no step ${name}; one is named by network and images, such as S-128-64`);
  return { prepared: prepare(found), loss: LOSS };
}

/** The smallest network that a compiler for CPUs is done with in a minute: for rehearsals. */
const rehearsal = (batch: number): Work => ({
  ...{ kind: 'train', name: 'tiny', batch, classes: 16 },
  network: { kind: 'iresnet', blocks: [1, 1, 1, 1], widths: [4, 4, 4, 4], stem: 4, embedding: 8 },
});

/** The networks that are only embedded elsewhere, as training steps. */
const teachers = (batch: number): Work[] =>
  embeddingWorks(batch)
    .filter(
      ({ network }) =>
        (network as NetworkSpec & { blocks?: unknown }).blocks === IRESNET_BLOCKS['iresnet-100'],
    )
    .map((work) => ({ ...work, kind: 'train', classes: CLASSES }));

/** Weights, images and labels of a step. */
export function stepInputs(
  { work, layout }: Prepared,
  weights: Float32Array,
): readonly [Float32Array, Uint8Array, Int32Array] {
  if (weights.length !== layout.parameterCount)
    throw new Error(`${work.name} takes ${layout.parameterCount} weights, not ${weights.length}`);
  const pixels = work.batch * 112 * 112 * 3;
  return [
    weights,
    Uint8Array.from(uniforms(1, 'images', pixels), (value) => value * 256),
    Int32Array.from({ length: work.batch }, (_, i) => (i * 37) % work.classes),
  ];
}
