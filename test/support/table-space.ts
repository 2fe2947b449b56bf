// A small space of plain genes for tests of strategies: each candidate is its own key, and it costs what its
// genes sum to.

import type { Genes, SearchSpace } from '../../coordinator/strategies/search-space.ts';
import { randomStream } from '../../core/rng.ts';

/** A space with so many values of each gene; candidates that cost more than `costMax` break a constraint. */
export function tableSpace(widths: readonly number[], costMax = Number.POSITIVE_INFINITY): SearchSpace {
  const size = widths.reduce((product, width) => product * width, 1);
  const at = (place: number): Genes => {
    let rest = place;
    return widths.map((width) => {
      const value = rest % width;
      rest = Math.floor(rest / width);
      return value;
    });
  };
  return {
    genes: widths.map((width, gene) => ({
      name: `gene-${gene}`,
      values: Array.from({ length: width }, (_, value) => `value-${value}`),
    })),
    draw(seed, number) {
      const random = randomStream({ seed, purpose: 'table-space', at: [number, 0] });
      return widths.map((width) => random.integer(width));
    },
    keyOf: (genes) => genes.join('.'),
    genesOf: (key) => key.split('.').map(Number),
    costsOf(genes) {
      const parameters = genes.reduce((sum, value) => sum + value, 0);
      return { parameters, mflops: parameters, multiplyAdds: parameters };
    },
    violation: ({ parameters }) =>
      parameters > costMax ? `${parameters} parameters, at most ${costMax} allowed` : undefined,
    listed: () => (size > 10_000 ? undefined : { size, at, emptiness: () => 'the space has no candidate' }),
  };
}
