// What bench/gpu/bare.mjs prints on a machine where nothing works: the reason of each part, which nobody can ask for
// again.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { PACKAGE_ROOT } from '../../core/system/places.ts';

test('each part that fails says with what, however long its stack is', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-bare-'));
  t.after(() => rmSync(folder, { recursive: true }));
  cpSync(join(PACKAGE_ROOT, 'bench/gpu/bare.mjs'), join(folder, 'bare.mjs'));
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }\n');
  writeFileSync(join(folder, 'steps.json'), '["small-16"]');
  mkdirSync(join(folder, 'tree/core/tensor/pjrt'), { recursive: true });
  writeFileSync(
    join(folder, 'tree/core/tensor/pjrt/client.js'),
    `export function openClient({ path }) {
      const error = new Error('the plugin ' + path + ' gives no device: no driver');
      error.stack = error.stack + '\\n    at frame'.repeat(200);
      throw Object.assign(error, { code: 'unavailable' });
    }\n`,
  );
  const { stdout } = spawnSync(process.execPath, [join(folder, 'bare.mjs'), '--plugin', '/x.so'], {
    encoding: 'utf8',
  });
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  const ours = lines.filter(({ part }) => part !== 'torch');
  assert.deepEqual([...new Set(ours.map(({ part }) => part))], ['plugin', 'golden', 'resident', 'speed']);
  for (const { failed } of ours)
    assert.equal(failed, 'unavailable: the plugin /x.so gives no device: no driver');
});
