// What set-up noted about PJRT, as a worker reads it.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { FleetError } from '../../../../core/errors.ts';
import { installedPjrt } from '../../../../core/tensor/pjrt/binding.ts';

test('a note that cannot be read is named, with what to do, and an absent one is no error', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-note-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'note.json');
  assert.equal(installedPjrt(folder), null);
  const plugin = { platform: 'cpu', name: 'xla-cpu-pjrt 0.0.1', file: 'cpu/plugin.so' };
  writeFileSync(file, JSON.stringify({ addon: '1f2e', plugins: [plugin] }));
  assert.equal(installedPjrt(folder)?.plugins[0]?.path, join(folder, 'cpu/plugin.so'));
  const damaged = ['', '{', '[]', '{"addon":"1f2e","plugins":[{"platform":"tpu","name":"a","file":"b"}]}'];
  const refused = (words: RegExp) =>
    assert.throws(
      () => installedPjrt(folder),
      (error) => {
        assert(error instanceof FleetError);
        assert.equal(error.code, 'failedPrecondition');
        assert.ok(error.message.startsWith(file), error.message);
        assert.match(error.message, /run `npm run setup:pjrt`$/);
        assert.match(error.message, words);
        assert.doesNotMatch(error.message, /\n/);
        return true;
      },
    );
  for (const text of damaged) {
    writeFileSync(file, text);
    refused(/the note: /);
  }
  rmSync(file);
  mkdirSync(file);
  refused(/EISDIR/);
});
