import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { FleetError } from '../../../core/errors.ts';
import { buildNetwork } from '../../../core/nn/build.ts';
import { describe } from '../../../core/nn/describe.ts';
import { type Cell, cellOf, type Edge, GENOTYPES } from '../../../core/nn/genotype.ts';
import { canonicalGenotype, genotypeKey, genotypeOfKey } from '../../../core/nn/genotype-code.ts';
import { canonicalJson } from '../../../core/spec/canonical-json.ts';
import { type Genotype, genotypeSchema } from '../../../core/spec/network.ts';
import { genotypes } from '../../support/any-genotype.ts';

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

test('a key has one character an edge and reads back as the canonical genotype', () => {
  fc.assert(
    fc.property(genotypes, genotypes, (genotype, other) => {
      const key = genotypeKey(genotype);
      assert.match(key, /^[A-Za-z0-9]{16}$/);
      assert.deepEqual(genotypeOfKey(key), canonicalGenotype(genotype));
      assert.equal(genotypeKey(genotypeOfKey(key)), key);
      const text = (of: Genotype) => canonicalJson(canonicalGenotype(of));
      assert.equal(genotypeKey(other) === key, text(other) === text(genotype));
    }),
  );
});

test('a text that is no key is refused by name', () => {
  const key = genotypeKey(GENOTYPES.casia);
  const [first = '', second = ''] = key;
  const texts = [
    '',
    key.slice(1),
    `${key}A`,
    `${key.slice(0, -1)}!`,
    // The edges of the first node in the other order: the same genotype, not in its canonical form.
    `${second}${first}${key.slice(2)}`,
    // Twice the same input; an input that comes later; the op `none`.
    `${first}${first}${key.slice(2)}`,
    `${first}8${key.slice(2)}`,
    `H${key.slice(1)}`,
  ];
  for (const text of texts)
    assert.throws(
      () => genotypeOfKey(text),
      (error) =>
        error instanceof FleetError && error.code === 'dataLoss' && error.message.includes(`"${text}"`),
      text,
    );
});
