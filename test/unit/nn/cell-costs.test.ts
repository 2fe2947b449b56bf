import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { buildNetwork } from '../../../core/nn/build.ts';
import { cellCosts, costsCounted, prepareCosts } from '../../../core/nn/cell-costs.ts';
import { describe } from '../../../core/nn/describe.ts';
import { codeOf } from '../../../core/nn/genotype-code.ts';
import { candidateNetwork, costsOf } from '../../../core/nn/space.ts';
import type { Genotype } from '../../../core/spec/network.ts';
import { type SweepSpec, sweepSchema } from '../../../core/spec/sweep.ts';
import { genotypes } from '../../support/any-genotype.ts';
import { longestTurnMs } from '../../support/turns.ts';

const spaceOf = (space: Record<string, unknown>): SweepSpec['space'] => sweepSchema.shape.space.parse(space);

/** Reductions lie at layers / 3, 2 layers / 3 and the end; a width of 512 has a wider head. */
const spaces = fc
  .record({
    channels: fc.integer({ min: 1, max: 24 }).map((half) => 2 * half),
    layers: fc.integer({ min: 4, max: 20 }),
    embedding: fc.constantFrom(2, 128, 256, 512, 1000),
  })
  .map(spaceOf);

test('a sum over edges is what the built network counts, to the digit, in every space', () => {
  fc.assert(
    fc.property(spaces, fc.array(genotypes, { minLength: 1, maxLength: 4 }), (space, drawn) => {
      const costs = cellCosts(space);
      assert.ok(costs.sums !== undefined, 'this space has sums');
      for (const genotype of drawn)
        assert.deepEqual(costs.of(codeOf(genotype)), costsOf(candidateNetwork({ space }, genotype)));
    }),
    { numRuns: 40 },
  );
});

test('a space whose costs are no sums over edges has its networks built', () => {
  const space = spaceOf({ channels: 4, layers: 4, embedding: 8 });
  const build = (genotype: Genotype) => describe(buildNetwork(candidateNetwork({ space }, genotype)));
  /** A space where two equal ops of one node have their parameters in common. */
  const shared = (genotype: Genotype) => {
    const described = build(genotype);
    const twins = [...genotype.normal, ...genotype.reduce].filter(([[a], [b]]) => a === b).length;
    const row = { ...described.rows[0]!, name: 'shared', parameters: -twins, mflops: 0, multiplyAdds: 0 };
    return { ...described, rows: [...described.rows, row] };
  };
  const costs = costsCounted(space, shared);
  assert.equal(costs.sums, undefined);
  fc.assert(
    fc.property(genotypes, (genotype) => {
      const twins = [...genotype.normal, ...genotype.reduce].filter(([[a], [b]]) => a === b).length;
      const built = costsOf(candidateNetwork({ space }, genotype));
      assert.deepEqual(costs.of(codeOf(genotype)), { ...built, parameters: built.parameters - twins });
    }),
    { numRuns: 10 },
  );
  assert.ok(costsCounted(space, build).sums !== undefined, 'without the common parameters it has sums');
});

test('a table that is prepared holds up the event loop for no more than 20 ms, and is at hand then', async () => {
  let embedding = 300;
  const longest = await longestTurnMs(async () => {
    embedding += 1;
    const space = spaceOf({ channels: 16, layers: 18, embedding });
    await prepareCosts(space);
    assert.ok(cellCosts.has(space));
  });
  assert.ok(longest <= 20, `${longest} ms of processor in one turn`);
});
