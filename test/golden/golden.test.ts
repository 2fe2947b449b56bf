import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import test from 'node:test';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('../../../shared/golden', import.meta.url));
const main = fileURLToPath(new URL('main.ts', import.meta.url));

const run = (...args: string[]) =>
  spawnSync(process.execPath, ['--import', 'tsx', main, ...args], { encoding: 'utf8', maxBuffer: 1 << 26 });

test('networks, losses, training steps, genotypes, verification and records give the reference numbers', {
  skip: existsSync(folder) ? false : `there are no golden fixtures in ${folder}`,
}, () => {
  const { status, stdout, stderr } = run('--dir', folder);
  const bad = stdout.split('\n').filter((line) => line.endsWith('FAIL'));
  assert.deepEqual(bad, [], stderr.slice(-2000));
  assert.equal(status, 0, stderr.slice(-2000));
  assert.match(stdout, /\n[1-9]\d+ comparisons, 0 failed/);
});

test('a folder without fixtures is no error, and no comparison is claimed', () => {
  const { status, stdout } = run('--dir', `${folder}-absent`);
  assert.equal(status, 0);
  assert.match(stdout, /^0 comparisons, 0 failed/m);
});

test('a scale that is not a positive number is refused', () => {
  const { status, stderr } = run('--scale', 'wide');
  assert.equal(status, 2);
  assert.match(stderr, /--scale wide: give a positive number/);
});
