import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { buildNetwork } from '../../../core/nn/build.ts';
import { describe } from '../../../core/nn/describe.ts';
import {
  type Cell,
  canonicalGenotype,
  cellOf,
  type Edge,
  GENOTYPES,
  genotypeKey,
  randomGenotype,
} from '../../../core/nn/genotype.ts';
import { type Genotype, genotypeSchema, OPS, type Op } from '../../../core/spec/network.ts';

type Choice = Exclude<Op, 'none'>;
const CHOICES = OPS.filter((op): op is Choice => op !== 'none');

const edges = (node: number): fc.Arbitrary<[Edge, Edge]> =>
  fc
    .tuple(
      fc.uniqueArray(fc.integer({ min: 0, max: node + 1 }), { minLength: 2, maxLength: 2 }),
      fc.constantFrom(...CHOICES),
      fc.constantFrom(...CHOICES),
    )
    .map(([[a = 0, b = 1], first, second]) => [
      [first, a],
      [second, b],
    ]);
const cells: fc.Arbitrary<Cell> = fc.tuple(edges(0), edges(1), edges(2), edges(3));
const genotypes: fc.Arbitrary<Genotype> = fc
  .tuple(cells, cells)
  .map(([normal, reduce]) => ({ normal, normal_concat: [2, 3, 4, 5], reduce, reduce_concat: [2, 3, 4, 5] }));

/**
 * The cell with its nodes renumbered by `rank` where that keeps every edge pointing back, and all edge pairs
 * swapped.
 */
function shuffled(cell: Cell, order: readonly number[]): Cell {
  const place = (input: number) => (input < 2 ? input : 2 + order.indexOf(input - 2));
  const moved = cellOf((index) => {
    const [a, b] = cell[order[index] ?? 0] as [Edge, Edge];
    return [
      [b[0], place(b[1])],
      [a[0], place(a[1])],
    ];
  });
  const valid = moved.every((node, index) => node.every(([, input]) => input < index + 2));
  return valid ? moved : cellOf((index) => [...(cell[index] as [Edge, Edge])].reverse() as [Edge, Edge]);
}

const orders = fc.shuffledSubarray([0, 1, 2, 3], { minLength: 4, maxLength: 4 });

test('renumbered nodes and exchanged edges leave the key as it is', () => {
  fc.assert(
    fc.property(genotypes, orders, orders, (genotype, first, second) => {
      const other = {
        ...genotype,
        normal: shuffled(genotype.normal, first),
        reduce: shuffled(genotype.reduce, second),
      };
      assert.equal(genotypeKey(other), genotypeKey(genotype));
      assert.deepEqual(canonicalGenotype(other), canonicalGenotype(genotype));
    }),
  );
});

test('the canonical form is a valid genotype, is its own canonical form and counts the same', () => {
  const counts = (genotype: Genotype) => {
    const spec = { kind: 'pocketnet', channels: 4, layers: 4, embedding: 8, genotype } as const;
    const { parameters, multiplyAdds, mflops } = describe(buildNetwork(spec));
    return { parameters, multiplyAdds, mflops };
  };
  fc.assert(
    fc.property(genotypes, (genotype) => {
      const canonical = genotypeSchema.parse(canonicalGenotype(genotype));
      assert.deepEqual(canonicalGenotype(canonical), canonical);
      assert.deepEqual(counts(canonical), counts(genotype));
    }),
    { numRuns: 50 },
  );
});

test('another op, another input or the other previous cell is another candidate', () => {
  const key = genotypeKey(GENOTYPES.casia);
  const changed = (edge: Edge): Genotype => {
    const [, ...rest] = GENOTYPES.casia.normal;
    return { ...GENOTYPES.casia, normal: [[edge, ['dw_conv_1x1', 1]], ...rest] };
  };
  assert.equal(genotypeKey(changed(['dw_conv_3x3', 0])), key);
  assert.notEqual(genotypeKey(changed(['dw_conv_5x5', 0])), key);
  const exchanged: Genotype = {
    ...GENOTYPES.casia,
    normal: cellOf((index) => {
      const [a, b] = GENOTYPES.casia.normal[index] as [Edge, Edge];
      const exchange = ([op, input]: Edge): Edge => [op, input < 2 ? 1 - input : input];
      return [exchange(a), exchange(b)];
    }),
  };
  assert.notEqual(genotypeKey(exchanged), key);
  assert.notEqual(genotypeKey(GENOTYPES.cifar10), key);
});

test('the published genotypes are well-formed', () => {
  for (const genotype of Object.values(GENOTYPES)) assert.deepEqual(genotypeSchema.parse(genotype), genotype);
});

test('random candidates are valid, use only the given ops, repeat by number and differ between numbers', () => {
  const ops: Choice[] = ['dw_conv_3x3', 'max_pool_3x3'];
  const drawn = Array.from({ length: 200 }, (_, number) => randomGenotype(ops, 7, number));
  for (const genotype of drawn) {
    genotypeSchema.parse(genotype);
    for (const node of [...genotype.normal, ...genotype.reduce])
      for (const [op] of node) assert.ok((ops as string[]).includes(op));
  }
  assert.deepEqual(randomGenotype(ops, 7, 42), drawn[42]);
  assert.notDeepEqual(randomGenotype(ops, 8, 42), drawn[42]);
  assert.ok(new Set(drawn.map(genotypeKey)).size > 190);
});

test('random candidates read the two previous cells as often as uniform edges do', () => {
  const counts = new Map<number, number>();
  for (let number = 0; number < 500; number++)
    for (const node of randomGenotype(CHOICES, 1, number).normal)
      for (const [, input] of node) counts.set(input, (counts.get(input) ?? 0) + 1);
  // Expected share of input 0 (and 1) over the four nodes: 2/2 + 2/3 + 2/4 + 2/5 = 2.567 edges of 8.
  for (const input of [0, 1]) assert.ok(Math.abs((counts.get(input) ?? 0) / 500 - 2.567) < 0.15);
});
