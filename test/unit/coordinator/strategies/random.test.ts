import assert from 'node:assert/strict';
import test from 'node:test';
import { type Candidate, proposeRandom } from '../../../../coordinator/strategies/random.ts';
import { genotypeSchema } from '../../../../core/spec/network.ts';
import { sweep } from '../../../sim/specs.ts';

function draw(count: number, change: Record<string, unknown> = {}) {
  const seen = new Map<string, string>();
  const candidates: Candidate[] = [];
  let nextDraw = 0;
  while (candidates.length < count) {
    const proposal = proposeRandom({
      spec: sweep(change),
      nextDraw,
      trialWith: (genotypeJson) => seen.get(genotypeJson),
    });
    if ('exhausted' in proposal) return { candidates, exhausted: proposal.exhausted };
    seen.set(proposal.genotypeJson, `trial-${seen.size + 1}`);
    nextDraw = proposal.nextDraw;
    candidates.push(proposal);
  }
  return { candidates, exhausted: '' };
}

test('the same seed proposes the same valid candidates, another seed others, and none twice', () => {
  const texts = (seed: number) =>
    draw(30, { strategy: { trials: 30, seed } }).candidates.map((candidate) => candidate.genotypeJson);
  assert.deepEqual(texts(5), texts(5));
  assert.notDeepEqual(texts(5), texts(6));
  assert.equal(new Set(texts(5)).size, 30);
  for (const text of texts(5)) genotypeSchema.parse(JSON.parse(text));
});

test('a candidate above a constraint is passed over, with the numbers', () => {
  const free = draw(30).candidates.map(({ costs }) => costs.parameters);
  const parametersMax = [...free].sort((a, b) => a - b)[10]!;
  const { candidates } = draw(10, { constraints: { parametersMax } });
  assert.ok(candidates.every(({ costs }) => costs.parameters <= parametersMax));
  const reasons = candidates.flatMap(({ skipped }) => skipped.map(({ reason }) => reason));
  assert.ok(
    reasons.some((reason) => new RegExp(`^\\d+ parameters, at most ${parametersMax} allowed$`).test(reason)),
  );
});

test('a space without another candidate says so instead of drawing for ever', () => {
  const { candidates, exhausted } = draw(1, { constraints: { parametersMax: 1 } });
  assert.deepEqual(candidates, []);
  assert.match(exhausted, /500 draws in a row .* at most 1 allowed/);
});
