// The digest of the code that decides bits, on a folder that holds a line for each of its rooms.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { NUMERICAL_CODE, numericalCode } from '../../../../worker/compute/numerical-code.ts';

/** A folder with a module in the place of each room; the digest of its code, and how to change a file. */
function withTree(use: (digest: () => string, write: (path: string, text: string) => void) => void): void {
  const root = mkdtempSync(join(tmpdir(), 'pocketfleet-code-'));
  const write = (path: string, text: string) => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  try {
    for (const room of NUMERICAL_CODE) write(`${room}.ts`, 'export const one = 1;\n');
    write('package.json', '{"dependencies":{"@tensorflow/tfjs-node-gpu":"4.22.0","yaml":"2.9.1"}}');
    use(() => numericalCode(root, root), write);
  } finally {
    rmSync(root, { recursive: true });
  }
}

test('the digest of the numerical code changes with each of its rooms and with the tensor library', () => {
  withTree((digest, write) => {
    const seen = new Set([digest()]);
    for (const room of NUMERICAL_CODE) {
      write(`${room}.ts`, 'export const one = 2;\n');
      seen.add(digest());
    }
    write('package.json', '{"dependencies":{"@tensorflow/tfjs-node-gpu":"4.22.1"}}');
    seen.add(digest());
    assert.equal(seen.size, NUMERICAL_CODE.length + 2);
  });
});

test('comments, other rooms, other packages and the form of the programs do not change the digest', () => {
  withTree((digest, write) => {
    const before = digest();
    write('core/rng.ts', '// A comment.\n\n/*\n * Another.\n */\nexport const one = 1;\n');
    write('core/log.ts', 'export const text = 1;\n');
    write('package.json', '{"dependencies":{"@tensorflow/tfjs-node-gpu":"4.22.0","yaml":"2.9.2"}}');
    assert.equal(digest(), before);
  });
});

test('this tree has every room of the numerical code', () => {
  assert.match(numericalCode(), /^[0-9a-f]{16}$/);
});
