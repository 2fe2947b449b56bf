// The search space as networks: a genotype with the sizes of a sweep is a network, and every network has its costs.

import type { Genotype, NetworkSpec } from '../spec/network.ts';
import type { SweepSpec } from '../spec/sweep.ts';
import { buildNetwork } from './build.ts';
import { describe } from './describe.ts';

/** A genotype in the sweep's space. */
export function candidateNetwork(spec: Pick<SweepSpec, 'space'>, genotype: Genotype): NetworkSpec {
  const { channels, layers, embedding } = spec.space;
  return { kind: 'pocketnet', channels, layers, embedding, genotype };
}

export function costsOf(network: NetworkSpec): Costs {
  const { parameters, mflops, multiplyAdds } = describe(buildNetwork(network));
  return { parameters, mflops, multiplyAdds };
}

/** Size of a network: parameters of the backbone, FLOPs in the authors' convention in millions, true multiply-adds. */
export interface Costs {
  readonly parameters: number;
  readonly mflops: number;
  readonly multiplyAdds: number;
}
