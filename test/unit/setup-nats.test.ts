import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { cacheFolder } from '../../core/config.ts';
import { FleetError } from '../../core/errors.ts';
import { findNatsServer } from '../../core/net/nats-binary.ts';
import { startNats } from '../support/nats.ts';
import { assertNothingLeft } from '../support/processes.ts';

const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-find-'));
after(() => rmSync(folder, { recursive: true }));

function fakeServer(path: string, version: string): string {
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, `#!/bin/sh\necho "nats-server: v${version}"\n`, { mode: 0o755 });
  return path;
}

test('the newest nats-server of the cache is taken, an old one on PATH is passed over', () => {
  const cached = fakeServer(join(folder, 'cache/pocketfleet/nats-server-2.15.10/nats-server'), '2.15.10');
  fakeServer(join(folder, 'cache/pocketfleet/nats-server-2.15.9/nats-server'), '2.15.9');
  fakeServer(join(folder, 'old/nats-server'), '2.9.10');
  const recent = fakeServer(join(folder, 'recent/nats-server'), '2.12.0');
  const path = [join(folder, 'old'), join(folder, 'recent'), '/bin'].join(':');
  assert.equal(findNatsServer({ XDG_CACHE_HOME: join(folder, 'cache'), PATH: path }), cached);
  assert.equal(findNatsServer({ XDG_CACHE_HOME: join(folder, 'none'), PATH: path }), recent);
  // A relative folder would be another one for each program, and is not valid.
  assert.equal(cacheFolder({ XDG_CACHE_HOME: 'cache' }), join(homedir(), '.cache/pocketfleet'));
});

test('without a nats-server the error says how to get one', () => {
  const env = { XDG_CACHE_HOME: join(folder, 'none'), PATH: join(folder, 'old') };
  assert.throws(() => findNatsServer(env), {
    name: 'FleetError',
    code: 'failedPrecondition',
    message: /npm run setup/,
  });
  assert.throws(
    () => findNatsServer({ ...env, POCKETFLEET_NATS_SERVER: join(folder, 'old/nats-server') }),
    (error) => error instanceof FleetError && /POCKETFLEET_NATS_SERVER/.test(error.message),
  );
});

test('a test nats-server comes back on the same port after kill -9, and leaves nothing behind', async () => {
  const nats = await startNats({ token: 'secret' });
  const first = nats.pid;
  await nats.kill('SIGKILL');
  await assertNothingLeft([first], [nats.port]);
  await nats.restart();
  assert.notEqual(nats.pid, first);
  assert.match(nats.output(), /Starting JetStream/);
  const last = nats.pid;
  await nats.stop();
  await assertNothingLeft([first, last], [nats.port]);
});
