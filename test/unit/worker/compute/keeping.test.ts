// For which computations the compute thread keeps maps: within its own limit, within the machine's memory,
// and as many as before.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createKeeping } from '../../../../worker/compute/keeping.ts';

const CORES = 4;
const PIECE = 100;
/** Enough for one more piece with 4 cores is 800 on the machine and 300 of its own. */
const free = { machine: 800, own: 300 };

test('a piece is kept while three of it are free in the own limit and two for each core on the machine', () => {
  for (const [machine, own, kept] of [
    [800, 300, true],
    [799, 300, false],
    [800, 299, false],
    [1e6, Number.POSITIVE_INFINITY, true],
  ] as const)
    assert.equal(createKeeping(() => ({ machine, own }), CORES).mayKeep(PIECE), kept, `${machine} ${own}`);
});

test('what was kept before may be kept again, though the system never got it back', () => {
  let now = free;
  const keeping = createKeeping(() => now, CORES);
  for (let i = 0; i < 2; i++) {
    assert.ok(keeping.mayKeep(PIECE));
    keeping.keeps(PIECE);
  }
  now = { machine: 0, own: 0 };
  assert.equal(keeping.mayKeep(PIECE), false);
  keeping.frees(PIECE);
  keeping.frees(PIECE);
  assert.equal(keeping.bytes(), 0);
  for (let i = 0; i < 2; i++) {
    assert.ok(keeping.mayKeep(PIECE), `piece ${i}`);
    keeping.keeps(PIECE);
  }
  assert.equal(keeping.mayKeep(PIECE), false);
});

test('the memory of this machine is read: a small piece is kept, more than there is is not', () => {
  const keeping = createKeeping();
  assert.ok(keeping.mayKeep(1024));
  assert.equal(keeping.mayKeep(Number.MAX_SAFE_INTEGER), false);
});
