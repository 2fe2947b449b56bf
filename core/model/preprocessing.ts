// How pixels become a network's input, as checkpoints and exported files state it. Every exported file
// carries its network (genotype included) and a sentence with all that its user has to do, because without
// them the next person gets random-level accuracy from it. A checkpoint carries the same facts as fields.

import { canonicalJson } from '../spec/canonical-json.ts';
import type { NetworkSpec } from '../spec/network.ts';

/** What a graph takes: numbers that the caller has normalised, or the bytes of decoded images. */
export type GraphInput = 'normalised' | 'bytes';

const SIDE = 112;
const CHANNELS = 'RGB';
const SCALE = '(x / 255 - 0.5) / 0.5';
const ALIGNED = `a face aligned by five points to ${SIDE}x${SIDE} (left eye 38.2946,51.6963; right eye 73.5318,51.5014; nose 56.0252,71.7366; mouth 41.5493,92.3655 and 70.7299,92.2041), ${CHANNELS}`;

/**
 * The facts as the header of a checkpoint has them. Whether images are mirrored differs from step to step of
 * a run.
 */
export const CHECKPOINT_PREPROCESSING = {
  side: SIDE,
  channels: CHANNELS,
  scale: SCALE,
  mirrored: 'by the run',
} as const;

/** The sentence of an exported graph, by what the graph takes. */
const GRAPH_PREPROCESSING = {
  planes: `${ALIGNED}; ${SCALE}; float32 [N, 3, ${SIDE}, ${SIDE}]`,
  rows: `${ALIGNED}; ${SCALE}; float32 [N, ${SIDE}, ${SIDE}, 3]`,
  bytes: `${ALIGNED}; bytes [N, ${SIDE}, ${SIDE}, 3], normalised inside the graph`,
} as const;

const GRAPH_POSTPROCESSING =
  'raw embedding; add that of the mirrored image if wanted, then divide by the Euclidean norm; compare by squared distance';

/** Metadata of an exported graph; what the caller adds goes first and cannot replace the network. */
export function graphMetadata(
  network: NetworkSpec,
  preprocessing: keyof typeof GRAPH_PREPROCESSING,
  extra: Readonly<Record<string, string>> = {},
): Record<string, string> {
  return {
    ...extra,
    network: canonicalJson(network),
    preprocessing: GRAPH_PREPROCESSING[preprocessing],
    postprocessing: GRAPH_POSTPROCESSING,
  };
}
