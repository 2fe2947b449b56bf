// The genes of candidates that a strategy keeps by their keys. A key takes some time to read, and a strategy looks at
// the same candidates for many proposals; what it forgets is forgotten here too.

import type { Genes, SearchSpace } from './search-space.ts';

/** The genes of what has a key. */
export type GenesOf = (member: { readonly key: string }) => Genes;

/** Reads the key of each object once. */
export function rememberedGenes(space: Pick<SearchSpace, 'genesOf'>): GenesOf {
  const known = new WeakMap<object, Genes>();
  return (member) => {
    const found = known.get(member) ?? space.genesOf(member.key);
    known.set(member, found);
    return found;
  };
}
