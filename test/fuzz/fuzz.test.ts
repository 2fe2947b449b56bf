// A short run over every decoder of foreign bytes, with one seed: the same cases each time. `npm run soak:fuzz`
// goes on for as long as one likes.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fuzz, repetition } from './run.ts';
import { targets } from './targets.ts';

const SEED = 1;

test('each decoder makes of a mutated input a value or one sentence, within its time and memory', async () => {
  const { found, done } = await fuzz({ seed: SEED, only: [] });
  assert.deepEqual(
    found.map((one) => `${one.target}, case ${one.number}: ${one.fault}\n  ${repetition(SEED, one)}`),
    [],
  );
  assert.deepEqual(
    done.map(({ target }) => target),
    targets.map(({ name }) => name),
  );
  // A decoder that took nothing but the corpus, or all of it, would not have been tried.
  for (const { target, cases, valid } of done)
    assert.ok(valid > 0 && cases >= 10, `${target}: ${valid} of ${cases}`);
});
