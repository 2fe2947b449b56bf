// The cells of PocketNet as a space of genes: for each of the four nodes of both cells which two inputs it has,
// and the operation on each. Isomorphic genotypes have one key.

import { cellCosts } from '../../core/nn/cell-costs.ts';
import { NODES } from '../../core/nn/genotype.ts';
import {
  canonicalCode,
  codeOf,
  codeOfKey,
  edgeCode,
  GENOTYPE_EDGES,
  type GenotypeCode,
  inputOf,
  keyOfCode,
  opOf,
} from '../../core/nn/genotype-code.ts';
import { randomCode } from '../../core/nn/random-genotype.ts';
import { smallSpace } from '../../core/nn/small-space.ts';
import type { Costs } from '../../core/nn/space.ts';
import type { Genotype } from '../../core/spec/network.ts';
import { OPS } from '../../core/spec/network.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';
import type { Gene, Genes, SearchSpace } from './search-space.ts';

/** Genes of a node: its pair of inputs, then the operation on the lower and on the higher of them. */
const NODE_GENES = 3;

/** The cells of PocketNet as genes. */
export interface CellSpace extends SearchSpace {
  /** The genes of a genotype as it is written; -1 for what is outside the space. */
  genesFor(genotype: Genotype): Genes;
}

/** The space of a sweep within its constraints. Tables of costs are made when a cost is asked for. */
export function cellSpace({ space, constraints }: Pick<SweepSpec, 'space' | 'constraints'>): CellSpace {
  const drawn = space.ops.filter((op) => op !== 'none');
  const ops = [...new Set(drawn)].map((op) => OPS.indexOf(op));
  const codeFrom = (genes: Genes): GenotypeCode => {
    const code = new Uint8Array(GENOTYPE_EDGES);
    for (let pair = 0; pair < 2 * NODES; pair++) {
      const [inputs, lower, higher] = [0, 1, 2].map((gene) => genes[NODE_GENES * pair + gene]!);
      const [first, second] = INPUTS[pair % NODES]![inputs!]!;
      code[2 * pair] = edgeCode(first, ops[lower!]!);
      code[2 * pair + 1] = edgeCode(second, ops[higher!]!);
    }
    return code;
  };
  const genesFrom = (code: GenotypeCode): Genes => {
    const genes: number[] = [];
    for (let pair = 0; pair < 2 * NODES; pair++) {
      // Codes have the order of inputs, and the inputs of a node differ.
      const [a, b] = [code[2 * pair]!, code[2 * pair + 1]!];
      const [lower, higher] = a < b ? [a, b] : [b, a];
      const inputs = INPUTS[pair % NODES]!.findIndex(
        ([first, second]) => first === inputOf(lower) && second === inputOf(higher),
      );
      genes.push(inputs, ops.indexOf(opOf(lower)), ops.indexOf(opOf(higher)));
    }
    return genes;
  };
  const violation = (costs: Pick<Costs, 'parameters' | 'mflops'>) => violationOf(constraints, costs);
  return {
    genes: genesWith(ops.map((op) => OPS[op]!)),
    draw: (seed, number) => genesFrom(randomCode(drawn, seed, number)),
    keyOf: (genes) => keyOfCode(canonicalCode(codeFrom(genes))),
    genesOf: (key) => genesFrom(codeOfKey(key)),
    genesFor: (genotype) => genesFrom(codeOf(genotype)),
    costsOf: (genes) => cellCosts(space).of(codeFrom(genes)),
    violation,
    listed() {
      const small = smallSpace({ space, constraints });
      if (small === undefined) return undefined;
      return {
        size: small.size,
        at: (place) => genesFrom(small.at(place)),
        emptiness() {
          const broken = violation(small.least);
          return broken === undefined
            ? 'no network of the space meets both constraints'
            : `no network of the space is small enough: the smallest has ${broken}`;
        },
      };
    },
  };
}

/** By node: the pairs of inputs that it can have, the lower first. */
const INPUTS: readonly (readonly (readonly [number, number])[])[] = Array.from({ length: NODES }, (_, node) =>
  Array.from({ length: node + 2 }, (_, second) =>
    Array.from({ length: second }, (_, first) => [first, second] as const),
  ).flat(),
);

function genesWith(ops: readonly string[]): Gene[] {
  return ['normal', 'reduce'].flatMap((cell) =>
    INPUTS.flatMap((pairs, node) => [
      { name: `${cell}.${node}.inputs`, values: pairs.map((pair) => pair.join('+')) },
      { name: `${cell}.${node}.lower`, values: ops },
      { name: `${cell}.${node}.higher`, values: ops },
    ]),
  );
}

function violationOf(
  { parametersMax, mflopsMax }: SweepSpec['constraints'],
  costs: Pick<Costs, 'parameters' | 'mflops'>,
): string | undefined {
  if (parametersMax !== undefined && costs.parameters > parametersMax)
    return `${costs.parameters} parameters, at most ${parametersMax} allowed`;
  if (mflopsMax !== undefined && costs.mflops > mflopsMax)
    return `${costs.mflops.toFixed(1)} MFLOPs, at most ${mflopsMax} allowed`;
  return undefined;
}
