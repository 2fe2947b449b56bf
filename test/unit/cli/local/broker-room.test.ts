// When `up` starts its broker again, and how many bytes it gives it.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { reasonToRestart, storeBytesMaxOf } from '../../../../coordinator/cli/local/broker-room.ts';

const MIB = 1 << 20;

test('a broker is started again only while it stores nothing, and only when that would help', () => {
  const seen = { limit: 100 * MIB, limitNow: 100 * MIB, freeBytes: 50 * MIB };
  const more = { ...seen, limitNow: 200 * MIB };
  assert.equal(reasonToRestart({ state: 'ok' }, more), undefined);
  assert.equal(reasonToRestart({ state: 'full' }, seen), undefined, 'its limit is what it is');
  assert.match(reasonToRestart({ state: 'full' }, more)!, /more room than when it started/);
  assert.match(reasonToRestart({ state: 'silent' }, seen)!, /still stores nothing/);
  assert.equal(reasonToRestart({ state: 'silent' }, { ...more, freeBytes: MIB }), undefined, 'no room yet');
});

test('what the store holds counts as its room, and a configured limit is a bound', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-room-'));
  const empty = await storeBytesMaxOf(folder, undefined);
  writeFileSync(join(folder, 'held'), Buffer.alloc(8 * MIB));
  assert.ok((await storeBytesMaxOf(folder, undefined)) > 8 * MIB && empty >= 2 * MIB);
  assert.equal(await storeBytesMaxOf(folder, 5 * MIB), 5 * MIB);
  rmSync(folder, { recursive: true });
});
