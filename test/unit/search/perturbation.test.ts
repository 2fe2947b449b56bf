// Alpha vectors of genotypes and of mixtures without a part, and the decision from accuracies.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeAlphas } from '../../../core/nn/decode.ts';
import { GENOTYPES } from '../../../core/nn/genotype.ts';
import { randomGenotype } from '../../../core/nn/random-genotype.ts';
import { ALPHA_COUNT, alphasOf, flatAlphas, initialAlphas } from '../../../core/nn/supernet.ts';
import { alphasOfGenotype, alphasWithout } from '../../../core/search/one-hot.ts';
import { decodePerturbed, PERTURBATIONS } from '../../../core/search/perturbation.ts';
import { type Genotype, OPS } from '../../../core/spec/network.ts';

const CHOICES = OPS.filter((op) => op !== 'none');
const genotypes = [
  GENOTYPES.casia,
  GENOTYPES.cifar10,
  ...[0, 1, 2, 3].map((number) => randomGenotype(CHOICES, 8, number)),
];

/** Shares of an edge's ops in float32, as the graph computes them. */
function shares(row: ArrayLike<number>): number[] {
  const max = Math.max(...Array.from(row));
  const exponentials = Array.from(row, (value) => Math.fround(Math.exp(Math.fround(value - max))));
  const sum = exponentials.reduce((a, b) => a + b, 0);
  return exponentials.map((value) => value / sum);
}

/** The genotype's edges of a cell, in any order within a node. */
const sorted = (cell: Genotype['normal']) => cell.map((pair) => pair.map(String).sort());

test('a genotype is an alpha vector: its edges one-hot, the other twelve on none, exactly', () => {
  for (const genotype of genotypes) {
    const flat = alphasOfGenotype(genotype);
    assert.equal(flat.length, ALPHA_COUNT);
    for (const cell of ['normal', 'reduce'] as const) {
      const rows = alphasOf(flat)[cell];
      rows.forEach((edges, node) => {
        edges.forEach((row, input) => {
          const op = genotype[cell][node]!.find((edge) => edge[1] === input)?.[0] ?? 'none';
          assert.deepEqual(
            shares(row),
            OPS.map((other) => (other === op ? 1 : 0)),
          );
        });
      });
    }
    const decoded = decodeAlphas(alphasOf(flat), 'softmax');
    assert.deepEqual(
      [sorted(decoded.normal), sorted(decoded.reduce)],
      [sorted(genotype.normal), sorted(genotype.reduce)],
    );
  }
});

test('without an op all other ops keep their shares, without an edge it has none', () => {
  const flat = initialAlphas(3).map((value, i) => 400 * value + (i % 8 === 7 ? -2 : 0));
  assert.deepEqual(flatAlphas(alphasOf(flat)), flat);
  for (const removal of PERTURBATIONS.filter((_, i) => i % 17 === 0)) {
    const { cell, node, input, op } = removal;
    const got = alphasOf(alphasWithout(flat, removal));
    const before = alphasOf(flat);
    const [row, old] = [shares(got[cell][node]![input]!), shares(before[cell][node]![input]!)];
    OPS.forEach((other, column) => {
      const want = other === 'none' ? undefined : op === undefined || other === op ? 0 : old[column]!;
      if (want !== undefined)
        assert.ok(Math.abs(row[column]! - want) < 1e-6, `${other}: ${row[column]}, ${want}`);
    });
    // Every other edge is untouched.
    const rest = (alphas: typeof got) =>
      JSON.stringify({
        ...alphas,
        [cell]: alphas[cell].map((rows, n) => rows.filter((_, i) => !(n === node && i === input))),
      });
    assert.equal(rest(got), rest(before));
  }
});

test('98 ops and 12 edges of each kind of cell are evaluated, each once', () => {
  const all = PERTURBATIONS;
  assert.equal(all.length, 2 * (98 + 12));
  assert.equal(new Set(all.map((removal) => JSON.stringify(removal))).size, all.length);
});

test('the op whose removal costs most is kept on each edge, and the two edges whose removal costs most', () => {
  for (const genotype of genotypes) {
    const accuracies = PERTURBATIONS.map(({ cell, node, input, op }) => {
      const place = genotype[cell][node]!.findIndex((edge) => edge[1] === input);
      if (op === undefined) return 0.8 - (place < 0 ? 0 : 0.3 - place / 10);
      return 0.8 - (genotype[cell][node]![place]?.[0] === op ? 0.2 : 0.01);
    });
    const decoded = decodePerturbed(accuracies);
    // Edges of the first node are not ranked by their own removal but by lower input.
    assert.deepEqual(decoded.normal.slice(1), genotype.normal.slice(1));
    assert.deepEqual(decoded.reduce.slice(1), genotype.reduce.slice(1));
    assert.deepEqual(sorted(decoded.normal), sorted(genotype.normal));
  }
});

test('an alpha does not count, and skips are limited by what their removal costs', () => {
  const skips = PERTURBATIONS.map(({ op, node, input }) =>
    op === 'skip_connect' ? 0.1 + node / 100 + input / 1000 : op === 'dw_conv_5x5' ? 0.5 : 0.9,
  );
  const of = (skipsMax?: number) => decodePerturbed(skips, { skipsMax }).normal.flat();
  assert.ok(of().every(([op]) => op === 'skip_connect'));
  assert.deepEqual(
    of(7).map(([op]) => op),
    [...Array<string>(7).fill('skip_connect'), 'dw_conv_5x5'],
  );
});
