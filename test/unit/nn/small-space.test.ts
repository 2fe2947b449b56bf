import assert from 'node:assert/strict';
import test from 'node:test';
import { cellCosts } from '../../../core/nn/cell-costs.ts';
import type { Edge } from '../../../core/nn/genotype.ts';
import { codeOf, genotypeKey, genotypeOfKey, keyOfCode } from '../../../core/nn/genotype-code.ts';
import { randomCode } from '../../../core/nn/random-genotype.ts';
import { smallSpace } from '../../../core/nn/small-space.ts';
import type { Genotype, Op } from '../../../core/spec/network.ts';
import { sweep } from '../../sim/specs.ts';

const bounds = (ops: readonly Op[], constraints: Record<string, number> = {}) =>
  sweep({ space: { channels: 2, layers: 4, embedding: 16, ops }, constraints });

const keysOf = (spec: ReturnType<typeof sweep>): string[] => {
  const space = smallSpace(spec);
  assert.ok(space !== undefined, 'the space is small');
  return Array.from({ length: space.size }, (_, index) => keyOfCode(space.at(index)));
};

/** Every cell of one op, each node's inputs in every pair: what the list must be the canonical forms of. */
function cellsOf(op: Edge[0], node = 0): [Edge, Edge][][] {
  if (node === 4) return [[]];
  const rest = cellsOf(op, node + 1);
  const inputs = Array.from({ length: node + 2 }, (_, input) => input);
  const pairs = inputs.flatMap((second) => inputs.slice(0, second).map((first) => [first, second] as const));
  return pairs.flatMap(([a, b]) =>
    rest.map((nodes) => [
      [
        [op, a],
        [op, b],
      ] as [Edge, Edge],
      ...nodes,
    ]),
  );
}

const ALL: Record<string, readonly Genotype[]> = Object.fromEntries(
  (['dw_conv_3x3', 'skip_connect'] as const).map((op) => {
    const concat = { normal_concat: [2, 3, 4, 5], reduce_concat: [2, 3, 4, 5] } as const;
    const cells = cellsOf(op);
    const keys = new Set(
      cells.map((cell) => genotypeKey({ ...concat, normal: cell, reduce: cell } as unknown as Genotype)),
    );
    const distinct = [...keys].map(genotypeOfKey);
    return [
      op,
      distinct.flatMap(({ normal }) => distinct.map(({ reduce }) => ({ ...distinct[0]!, normal, reduce }))),
    ];
  }),
);

test('a space of one op lists the canonical form of every genotype once', () => {
  const keys = keysOf(bounds(['dw_conv_3x3']));
  assert.equal(new Set(keys).size, keys.length);
  assert.deepEqual([...keys].sort(), ALL.dw_conv_3x3!.map(genotypeKey).sort());
});

test('constraints leave every genotype that meets them, and fewer than all', () => {
  const free = bounds(['skip_connect']);
  const { of } = cellCosts(free.space);
  // An identity at stride 1 has no parameters, a factorised reduction at stride 2 has some.
  const sizes = ALL.skip_connect!.map((genotype) => of(codeOf(genotype)).parameters).sort((a, b) => a - b);
  const parametersMax = sizes[Math.floor(sizes.length / 10)]!;
  const keys = keysOf({ ...free, constraints: { parametersMax } });
  const within = (key: string) => of(codeOf(genotypeOfKey(key))).parameters <= parametersMax;
  assert.deepEqual(keys.filter(within).sort(), ALL.skip_connect!.map(genotypeKey).filter(within).sort());
  assert.ok(keys.length < sizes.length, `${keys.length} of ${sizes.length}`);
  assert.equal(smallSpace(bounds(['skip_connect', 'dw_conv_1x1', 'dw_conv_3x3'])), undefined, 'too large');
});

test('a constraint that no network meets leaves none, with the least that the space has', () => {
  const ops: Op[] = ['dw_conv_3x3', 'dw_conv_5x5', 'dw_conv_7x7', 'max_pool_3x3', 'skip_connect'];
  for (const constraints of [{ parametersMax: 1 }, { mflopsMax: 0.001 }]) {
    const spec = bounds(ops, constraints);
    const space = smallSpace(spec);
    assert.equal(space?.size, 0);
    for (let number = 0; number < 200; number++) {
      const costs = cellCosts(spec.space).of(randomCode(['max_pool_3x3', 'skip_connect'], 1, number));
      assert.ok(costs.parameters >= space.least.parameters && costs.mflops >= space.least.mflops);
    }
  }
});
