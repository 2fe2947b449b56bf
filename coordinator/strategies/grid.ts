// A grid: every combination of the values of some genes, in order, the last gene changing fastest. Without axes
// the genes are those of the whole space; with axes the other genes stay as they are in the base.

import type { GridSpec } from '../../core/spec/strategy.ts';
import type { Genes, SearchSpace } from './search-space.ts';
import { type NoState, REMEMBERS_NOTHING, type Strategy } from './strategy.ts';

/**
 * The strategy of a sweep; the place in the grid is the number of the proposal. `base`: the genes that have no axis,
 * the first value of each by default.
 */
export function grid(spec: Pick<GridSpec, 'axes'>, space: SearchSpace, base?: Genes): Strategy<NoState> {
  const axes = axesOf(spec, space, base);
  const size = axes.reduce((product, values) => product * values.length, 1);
  return {
    ...REMEMBERS_NOTHING,
    isWhole: false,
    ask: (_state, { draw }) =>
      draw >= size
        ? { kind: 'done', reason: `each of the ${size} combinations of the grid was looked at` }
        : {
            kind: 'evaluate',
            reason: `combination ${draw + 1} of ${size}`,
            genes: at(axes, draw),
            parents: [],
          },
  };
}

/** By gene: the values that it takes. */
function axesOf({ axes }: Pick<GridSpec, 'axes'>, space: SearchSpace, base: Genes | undefined) {
  return space.genes.map(({ name, values }, gene): readonly number[] => {
    if (axes === undefined) return values.map((_, value) => value);
    const named = axes[name];
    if (named === undefined) return [base?.[gene] ?? 0];
    return [...new Set(named)].map((word) => values.indexOf(word)).filter((value) => value >= 0);
  });
}

/** The combination at a place; a place may be far above 2^32. */
function at(axes: readonly (readonly number[])[], place: number): number[] {
  const genes = new Array<number>(axes.length);
  let rest = place;
  for (let gene = axes.length - 1; gene >= 0; gene--) {
    const values = axes[gene]!;
    genes[gene] = values[rest % values.length]!;
    rest = Math.floor(rest / values.length);
  }
  return genes;
}

/** A field of a spec that is wrong. */
export interface Fault {
  /** Its dotted path within the sweep. */
  readonly field: string;
  /** Why, as a phrase. */
  readonly reason: string;
}

/** What of the axes is no gene of the space or no value of its gene; undefined: nothing. */
export function axesFault({ axes = {} }: Pick<GridSpec, 'axes'>, space: SearchSpace): Fault | undefined {
  for (const [name, words] of Object.entries(axes)) {
    const gene = space.genes.find((one) => one.name === name);
    if (gene === undefined)
      return {
        field: `strategy.axes.${name}`,
        reason: `is no gene of the space; its genes are ${space.genes.map((one) => one.name).join(', ')}`,
      };
    const strange = words.find((word) => !gene.values.includes(word));
    if (strange !== undefined)
      return {
        field: `strategy.axes.${name}`,
        reason: `"${strange}" is outside the space; the gene has ${gene.values.join(', ')}`,
      };
  }
  return undefined;
}
