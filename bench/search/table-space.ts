// A table of measured networks as the space of a search.

import type { SearchSpace } from '../../coordinator/strategies/search-space.ts';
import { randomStream } from '../../core/rng.ts';
import { combinations, GENES, type GraphTable, networkKey } from './graph-table.ts';

/** All combinations of genes, by their text, with the key of each; and the first one of each key. */
interface Combinations {
  readonly keys: ReadonlyMap<string, string>;
  readonly genes: ReadonlyMap<string, readonly number[]>;
}

let known: Combinations | undefined;

/** The networks of the table; what it does not have breaks a constraint. */
export function tableSpace(table: GraphTable): SearchSpace {
  known ??= allCombinations();
  const { keys, genes: genesOf } = known;
  const keyOf = (genes: readonly number[]) => keys.get(genes.join())!;
  return {
    genes: GENES.map((width, gene) => ({
      name: gene === 0 ? 'topology' : `operation ${gene}`,
      values: Array.from({ length: width }, (_, value) => String(value)),
    })),
    draw(seed, number) {
      const random = randomStream({ seed, purpose: 'table', at: [number, 0] });
      return GENES.map((width) => random.integer(width));
    },
    keyOf,
    genesOf: (key) => genesOf.get(key)!,
    // One that is not in the table has no cost at all.
    costsOf: (genes) => ({ ...NO_COSTS, parameters: table.networks.has(keyOf(genes)) ? 1 : 0 }),
    violation: ({ parameters }) => (parameters > 0 ? undefined : 'the table has no such network'),
    listed: () => undefined,
  };
}

const NO_COSTS = { parameters: 0, mflops: 0, multiplyAdds: 0 };

function allCombinations(): Combinations {
  const keys = new Map<string, string>();
  const first = new Map<string, readonly number[]>();
  for (const genes of combinations()) {
    const key = networkKey(genes);
    keys.set(genes.join(), key);
    if (!first.has(key)) first.set(key, genes);
  }
  return { keys, genes: first };
}
