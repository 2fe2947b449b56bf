// How pixels become a network's input, as exported files say it: every file carries its network (genotype included) and this
// sentence, because a model without them gives random-level accuracy in the next person's hands.

import { canonicalJson } from '../spec/canonical-json.ts';
import type { NetworkSpec } from '../spec/network.ts';

/** What a graph takes: numbers that the caller has normalised, or the bytes of decoded images. */
export type GraphInput = 'normalised' | 'bytes';

const COMMON =
  'a face aligned by five points to 112x112 (left eye 38.2946,51.6963; right eye 73.5318,51.5014; nose 56.0252,71.7366; mouth 41.5493,92.3655 and 70.7299,92.2041), RGB';

export const PREPROCESSING = {
  planes: `${COMMON}; (x / 255 - 0.5) / 0.5; float32 [N, 3, 112, 112]`,
  rows: `${COMMON}; (x / 255 - 0.5) / 0.5; float32 [N, 112, 112, 3]`,
  bytes: `${COMMON}; bytes [N, 112, 112, 3], normalised inside the graph`,
} as const;

export const POSTPROCESSING =
  'raw embedding; add that of the mirrored image if wanted, then divide by the Euclidean norm; compare by squared distance';

/** Metadata of an exported graph; what the caller adds goes first and cannot replace the network. */
export function graphMetadata(
  network: NetworkSpec,
  preprocessing: keyof typeof PREPROCESSING,
  extra: Readonly<Record<string, string>> = {},
): Record<string, string> {
  return {
    ...extra,
    network: canonicalJson(network),
    preprocessing: PREPROCESSING[preprocessing],
    postprocessing: POSTPROCESSING,
  };
}
