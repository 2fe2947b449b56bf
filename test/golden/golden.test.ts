import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { appendFileSync, copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { loaderArguments } from '../../core/system/script-arguments.ts';
import { GOLDEN } from './packed-folder.ts';

/**
 * Of the fixtures in this repository, in brief; `npm run test:golden` makes all of them. A check that no longer finds what
 * it compares is missed here.
 */
const COMPARISONS_MIN = 2222;

const main = fileURLToPath(new URL('main.ts', import.meta.url));

const run = (...args: string[]) =>
  spawnSync(process.execPath, [...loaderArguments(), main, ...args], {
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });

test('networks, losses, training steps, genotypes, verification and records give the reference numbers', () => {
  const { status, stdout, stderr } = run('--brief');
  const bad = stdout.split('\n').filter((line) => line.endsWith('FAIL') || line.includes(' - '));
  assert.deepEqual(bad, [], stderr.slice(-2000));
  assert.equal(status, 0, stderr.slice(-2000));
  const [, comparisons] = /\n(\d+) comparisons, 0 failed/.exec(stdout) ?? [];
  assert.ok(Number(comparisons) >= COMPARISONS_MIN, `${comparisons} comparisons`);
});

test('a folder without fixtures is no error, and no comparison is claimed', () => {
  const { status, stdout } = run('--dir', '/nonexistent/golden');
  assert.equal(status, 0);
  assert.match(stdout, /^0 comparisons, 0 failed/m);
});

test('a damaged fixture fails by its name, and the others are compared', (context) => {
  const dir = mkdtempSync(join(tmpdir(), 'pocketfleet-golden-'));
  context.after(() => rmSync(dir, { recursive: true }));
  for (const file of ['SHA256SUMS', 'genotype-decode.json', 'verification.json'])
    copyFileSync(join(GOLDEN, file), join(dir, file));
  appendFileSync(join(dir, 'verification.json'), ' ');
  const { status, stdout } = run('--dir', dir);
  assert.equal(status, 1);
  assert.match(stdout, /^verification\.json could not be checked: verification\.json is damaged: .* FAIL$/m);
  assert.match(stdout, /^supernet-tiny\.safetensors could not be checked: .* is missing, .* FAIL$/m);
  assert.match(stdout, /^genotype-decode\.json .* ok$/m);
});

test('a scale that is not a positive number is refused', () => {
  const { status, stderr } = run('--scale', 'wide');
  assert.equal(status, 2);
  assert.match(stderr, /--scale wide: give a positive number/);
});

test('an engine that is none is refused', () => {
  const { status, stderr } = run('--engine', 'cuda');
  assert.equal(status, 2);
  assert.match(stderr, /--engine cuda: give tensorflow or pjrt/);
});
