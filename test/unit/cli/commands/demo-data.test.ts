import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  folderOverrides,
  pairsAskedFor,
  pairsPossible,
} from '../../../../coordinator/cli/commands/demo-data.ts';
import { assertPairsPossible } from '../../../../core/verify/pairs.ts';

const PLAN = `
search: { evaluation: { verification: { pairs: 3000 } } }
teacher: { verification: { pairs: 600, seed: 2 } }
students:
  - { name: a, verification: { pairs: 3000 } }
  - { name: b, pairs: 9000 }
---
teacher: { verification: { pairs: 5000 } }
`;

test('a plan that asks for more pairs than the photographs allow gets as many as they do', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'pf demo data '));
  try {
    for (let person = 0; person < 40; person++) {
      mkdirSync(join(dir, 'faces', `s${person}`), { recursive: true });
      for (let i = 0; i < 10; i++) writeFileSync(join(dir, 'faces', `s${person}`, `${i}.pgm`), '');
      writeFileSync(join(dir, 'faces', `s${person}`, '.DS_Store'), '');
    }
    writeFileSync(join(dir, 'plan.yaml'), PLAN);
    assert.deepEqual(await folderOverrides(join(dir, 'faces'), join(dir, 'plan.yaml')), {
      data: JSON.stringify({ kind: 'folder', path: join(dir, 'faces'), holdout: 10 }),
      // Ten people of ten images: 45 genuine pairs each.
      'search.evaluation.verification.pairs': '900',
      'students.0.verification.pairs': '900',
    });
    await assert.rejects(
      folderOverrides(join(dir, 'nowhere'), join(dir, 'plan.yaml')),
      /--data .*nowhere cannot be read/,
    );
    await assert.rejects(
      folderOverrides(join(dir, 'faces/s1'), join(dir, 'plan.yaml')),
      /has 0 folders; the demo needs/,
    );
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test('the number of pairs is one that pairs.ts takes for whoever is held out', () => {
  for (const images of [
    Array(14).fill(2),
    [3, 9, 2, 8, 4, 4, 4, 5, 6, 7, 20, 30, 2, 3],
    Array(50).fill(12),
  ]) {
    const holdout = 10;
    const pairs = pairsPossible(images, holdout);
    assert.equal(pairs % 20, 0);
    const fewest = [...images].sort((a, b) => a - b).slice(0, holdout);
    assertPairsPossible(
      fewest.flatMap((n, person) => Array(n).fill(person)),
      pairs,
    );
  }
});

test('a text that is no YAML, or has no plan in it, asks for nothing', () => {
  for (const text of ['', 'a: [', '- 1', 'text', '# nothing']) assert.deepEqual(pairsAskedFor(text), []);
});
