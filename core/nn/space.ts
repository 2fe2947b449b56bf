// The search space as networks: the network that a genotype is in a sweep's space, and what a network costs.

import type { Genotype, NetworkSpec } from '../spec/network.ts';
import type { SearchBlock } from '../spec/search.ts';
import type { SweepSpec } from '../spec/sweep.ts';
import { buildNetwork } from './build.ts';
import { describe } from './describe.ts';
import { buildSupernet } from './supernet.ts';

/** The network of a genotype with the sizes of the sweep's space. */
export function candidateNetwork(spec: Pick<SweepSpec, 'space'>, genotype: Genotype): NetworkSpec {
  const { channels, layers, embedding } = spec.space;
  return { kind: 'pocketnet', channels, layers, embedding, genotype };
}

/** What this network costs. */
export function costsOf(network: NetworkSpec): Costs {
  const { parameters, mflops, multiplyAdds } = describe(buildNetwork(network));
  return { parameters, mflops, multiplyAdds };
}

/** What the network that a run trains costs; that of a search has every operation on every edge, and so many classes. */
export function costsOfRun(
  { network, search }: { readonly network: NetworkSpec; readonly search?: SearchBlock | undefined },
  { classes }: { readonly classes: number },
): Costs {
  if (search === undefined) return costsOf(network);
  const { parameters, mflops, multiplyAdds } = describe(
    buildSupernet({ kind: 'supernet', ...search.supernet, classes }),
  );
  return { parameters, mflops, multiplyAdds };
}

/**
 * Size of a network: parameters of the backbone, FLOPs in the authors' convention in millions, true
 * multiply-adds.
 */
export interface Costs {
  readonly parameters: number;
  readonly mflops: number;
  readonly multiplyAdds: number;
}
