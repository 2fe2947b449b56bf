import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { sourceRevision } from '../../../core/system/version.ts';

test('the revision is that of the file of an image, else of what is checked out, else unknown', () => {
  const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-revision-'));
  const commit = '0123456789abcdef0123456789abcdef01234567';
  try {
    assert.equal(sourceRevision(folder), 'unknown');
    const git = join(folder, '.git');
    mkdirSync(join(git, 'refs/heads/a'), { recursive: true });
    writeFileSync(join(git, 'HEAD'), 'ref: refs/heads/a/b\n');
    assert.equal(sourceRevision(folder), 'unknown', 'a repository without a commit');
    writeFileSync(join(git, 'packed-refs'), `# pack-refs\n${commit} refs/heads/a/b\n`);
    assert.equal(sourceRevision(folder), commit.slice(0, 12));
    writeFileSync(join(git, 'refs/heads/a/b'), `f${commit.slice(1)}\n`);
    assert.equal(sourceRevision(folder), 'f123456789ab');
    writeFileSync(join(git, 'HEAD'), `${commit}\n`);
    assert.equal(sourceRevision(folder), commit.slice(0, 12), 'detached');
    const linked = join(folder, 'linked');
    mkdirSync(join(git, 'worktrees/linked'), { recursive: true });
    mkdirSync(linked);
    writeFileSync(join(linked, '.git'), `gitdir: ${join(git, 'worktrees/linked')}\n`);
    writeFileSync(join(git, 'worktrees/linked/HEAD'), 'ref: refs/heads/a/b\n');
    writeFileSync(join(git, 'worktrees/linked/commondir'), '../..\n');
    assert.equal(sourceRevision(linked), 'f123456789ab');
    writeFileSync(join(linked, 'REVISION'), 'abc\n');
    assert.equal(sourceRevision(linked), 'abc');
    writeFileSync(join(linked, 'REVISION'), '\n');
    assert.equal(sourceRevision(linked), 'f123456789ab', 'an image that was built without one');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
