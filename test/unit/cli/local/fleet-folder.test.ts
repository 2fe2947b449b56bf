import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { explain } from '../../../../coordinator/cli/client.ts';
import { identityOf } from '../../../../coordinator/cli/local/fleet-file.ts';
import { fleetDir, ownDir } from '../../../../coordinator/cli/local/fleet-folder.ts';
import { shellWord } from '../../../../coordinator/cli/shell-word.ts';
import { FleetError } from '../../../../core/errors.ts';

function tree(t: { after(f: () => void): void }) {
  const top = mkdtempSync(join(tmpdir(), 'pf-folder-'));
  t.after(() => rmSync(top, { recursive: true, force: true }));
  const deep = join(top, 'a', 'b');
  mkdirSync(deep, { recursive: true });
  const fleet = join(top, '.pocketfleet');
  mkdirSync(fleet);
  return { top, deep, fleet };
}

test('a fleet is found from a folder below, the nearest one first, and a named folder is taken as it is', (t) => {
  const { top, deep, fleet } = tree(t);
  assert.equal(
    fleetDir(undefined, { from: deep }),
    join(deep, '.pocketfleet'),
    'a folder without a fleet is none',
  );
  writeFileSync(join(fleet, 'fleet.json'), '{}');
  assert.equal(fleetDir(undefined, { from: deep }), fleet);
  assert.equal(fleetDir(undefined, { from: top }), fleet);
  const nearer = join(top, 'a', '.pocketfleet');
  mkdirSync(nearer);
  writeFileSync(join(nearer, 'up.lock'), '');
  assert.equal(fleetDir(undefined, { from: deep }), nearer);
  assert.equal(fleetDir(deep, { from: top }), deep);
  assert.equal(fleetDir('', { from: deep }), nearer, 'POCKETFLEET_DIR is set to nothing');
  assert.equal(ownDir(''), ownDir(undefined));
});

test('a fleet above that belongs to another user is passed over', (t) => {
  const { top, deep, fleet } = tree(t);
  writeFileSync(join(fleet, 'fleet.json'), '{}');
  const owner = statSync(fleet).uid;
  assert.equal(fleetDir(undefined, { from: deep, user: owner }), fleet);
  assert.equal(fleetDir(undefined, { from: deep, user: owner + 1 }), join(deep, '.pocketfleet'));
  assert.equal(fleetDir(undefined, { from: top, user: owner + 1 }), fleet, 'here it is meant');
});

test('a coordinator that does not answer is explained by what is known of its fleet', (t) => {
  const { fleet } = tree(t);
  const error = new FleetError('unavailable', 'connect ECONNREFUSED');
  const far = { coordinator: 'far:7070', token: '' };
  assert.match(explain(error, far).message, /^no coordinator answers at far:7070; is the fleet up/);
  const near = { coordinator: '127.0.0.1:1', token: '', dir: fleet };
  assert.match(explain(error, near).message, /is not running; `pocketfleet up --dir .* starts it again/);
  writeFileSync(join(fleet, 'up.lock'), JSON.stringify(identityOf('up', process.pid)));
  assert.match(
    explain(error, near).message,
    new RegExp(`supervisor \\(process ${process.pid}\\) that starts its coordinator again .* try again`),
  );
});

test('a path in a command to paste is one word of the shell', () => {
  assert.equal(shellWord('/a/b-c_d.1'), '/a/b-c_d.1');
  assert.equal(shellWord("/my fleet's"), "'/my fleet'\\''s'");
});
