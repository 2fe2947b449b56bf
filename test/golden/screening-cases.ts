// The networks whose scores at initial weights are compared with PyTorch: genotypes of every op, small and of full
// size, with weights, images and labels that follow from a seed alone.

import { buildNetwork } from '../../core/nn/build.ts';
import { initialWeights } from '../../core/nn/init.ts';
import { type Layout, layoutOf } from '../../core/nn/layout.ts';
import type { Network } from '../../core/nn/network.ts';
import { integers } from '../../core/rng.ts';
import type { PocketnetSpec } from '../../core/spec/network.ts';
import { genotypeSchema } from '../../core/spec/network.ts';

/** One network at one seed. */
export interface ScreeningCase {
  readonly name: string;
  readonly seed: number;
  readonly network: PocketnetSpec;
  /** Of one batch; 0 where only synflow is compared. */
  readonly images: number;
  /** At a second seed, of a network whose kinds of layers another one has at both. */
  readonly isRepeated: boolean;
}

/** Identities of the head that ZiCo's loss needs. */
export const CLASSES = 5;
export const LOSS = { scale: 64, margin: 0.5 };
/** Batches of ZiCo; NASWOT takes the first one. */
const BATCHES = 2;

/** Average pooling and strided skips, which no published genotype has. */
const ALL_OPS = genotypeSchema.parse({
  normal: [
    [
      ['avg_pool_3x3', 0],
      ['dw_conv_7x7', 1],
    ],
    [
      ['max_pool_3x3', 2],
      ['dw_conv_1x1', 0],
    ],
    [
      ['skip_connect', 1],
      ['dw_conv_5x5', 3],
    ],
    [
      ['dw_conv_3x3', 4],
      ['avg_pool_3x3', 1],
    ],
  ],
  reduce: [
    [
      ['skip_connect', 0],
      ['avg_pool_3x3', 1],
    ],
    [
      ['max_pool_3x3', 0],
      ['dw_conv_1x1', 2],
    ],
    [
      ['dw_conv_5x5', 1],
      ['skip_connect', 3],
    ],
    [
      ['dw_conv_7x7', 4],
      ['dw_conv_3x3', 0],
    ],
  ],
});

const tiny = (genotype: PocketnetSpec['genotype']): PocketnetSpec => ({
  kind: 'pocketnet',
  genotype,
  channels: 4,
  layers: 4,
  embedding: 8,
});

const NETWORKS: readonly Omit<ScreeningCase, 'seed' | 'isRepeated'>[] = [
  { name: 'casia', network: tiny('casia'), images: 4 },
  { name: 'cifar10', network: tiny('cifar10'), images: 4 },
  { name: 'all-ops', network: tiny(ALL_OPS), images: 4 },
  {
    name: 's-128',
    network: { kind: 'pocketnet', genotype: 'casia', channels: 16, layers: 18, embedding: 128 },
    images: 0,
  },
];

export const SCREENING_CASES: readonly ScreeningCase[] = NETWORKS.flatMap((network) =>
  [7, 20_211].map((seed, at) => ({
    ...network,
    seed,
    isRepeated: at > 0 && (network.name === 'cifar10' || network.name === 's-128'),
  })),
);

export interface ScreeningInputs {
  readonly network: Network;
  /** Without a head. */
  readonly layout: Layout;
  /** [P], then the head's kernel [E, CLASSES]. */
  readonly weights: Float32Array;
  /** [N, 112, 112, 3] and [N], batch by batch. */
  readonly batches: readonly { readonly images: Uint8Array; readonly labels: Int32Array }[];
}

export function screeningInputs({ network: spec, seed, images }: ScreeningCase): ScreeningInputs {
  const network = buildNetwork(spec);
  return {
    network,
    layout: layoutOf(network),
    weights: initialWeights(layoutOf(network, { classes: CLASSES }), seed),
    batches: Array.from({ length: BATCHES }, (_, batch) => ({
      images: Uint8Array.from(integers(seed, `golden/images-${batch}`, images * 112 * 112 * 3, 256)),
      labels: Int32Array.from({ length: images }, (_, image) => (image + batch) % CLASSES),
    })),
  };
}
