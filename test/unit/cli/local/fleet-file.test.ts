import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  fleetFilePath,
  identityOf,
  isAlive,
  locateFleet,
  lockDir,
  readFleetFile,
  supervisorOf,
  writeFleetFile,
} from '../../../../coordinator/cli/local/fleet-file.ts';

const file = {
  fleet: 'local',
  coordinator: '127.0.0.1:1',
  metrics: '127.0.0.1:2',
  natsUrl: 'nats://127.0.0.1:3',
  token: 'secret',
  natsToken: 'other',
  pid: process.pid,
};

function folder(t: { after(f: () => void): void }): string {
  const dir = mkdtempSync(join(tmpdir(), 'pf-cli-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

test('fleet.json comes back as it was written and can be read by its owner alone', (t) => {
  const dir = folder(t);
  writeFleetFile(dir, file);
  assert.deepEqual(readFleetFile(dir), file);
  assert.equal(statSync(fleetFilePath(dir)).mode & 0o777, 0o600);
});

test('a command finds the fleet by folder, or by address and token', (t) => {
  const dir = folder(t);
  writeFleetFile(dir, file);
  assert.deepEqual(locateFleet({ dir }), { coordinator: '127.0.0.1:1', token: 'secret', dir });
  assert.deepEqual(locateFleet({ dir, coordinator: 'far:7070', token: 'x' }), {
    coordinator: 'far:7070',
    token: 'x',
  });
});

test('a missing or damaged fleet.json is refused with what to do', (t) => {
  const dir = folder(t);
  assert.throws(() => locateFleet({ dir }), {
    code: 'notFound',
    message: /fleet\.json is not there; start one with/,
  });
  writeFileSync(fleetFilePath(dir), '{"fleet": 1}');
  assert.throws(() => locateFleet({ dir }), {
    code: 'invalidArgument',
    message: /fleet\.json is not a fleet file/,
  });
});

test('a folder in use is refused by name of the process, and free again after release', (t) => {
  const dir = folder(t);
  const release = lockDir(dir);
  assert.equal(supervisorOf(dir)?.pid, process.pid);
  assert.throws(() => lockDir(dir), {
    code: 'failedPrecondition',
    message: new RegExp(`process ${process.pid}`),
  });
  release();
  lockDir(dir)();
  assert.equal(supervisorOf(dir), undefined);
});

test('a folder that cannot be written to or read is refused with the reason', (t) => {
  const dir = folder(t);
  writeFileSync(join(dir, 'file'), '');
  assert.throws(() => lockDir('/proc/nope'), {
    code: 'notFound',
    message: /^\/proc\/nope: the folder cannot be made, because .*; choose another folder with --dir$/,
  });
  // The folder is there, and takes no file: so does one on a disk that was mounted read-only, with another reason.
  assert.throws(() => lockDir('/proc/self'), {
    message: /^\/proc\/self: the folder cannot be written to, because/,
  });
  assert.throws(() => lockDir(join(dir, 'file')), {
    message: /because a file of that name is there already/,
  });
  assert.throws(() => locateFleet({ dir: join(dir, 'file') }), {
    message: /file\/fleet\.json: it cannot be read, because a part of the path is a file and no folder/,
  });
});

test('the lock of a process that was killed does not hold, even if its id is in use again', async (t) => {
  const dir = folder(t);
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
  const identity = identityOf('up', child.pid!);
  assert.equal(isAlive(identity), true);
  assert.equal(isAlive({ ...identity, startTicks: '1' }), false);
  writeFileSync(join(dir, 'up.lock'), JSON.stringify(identity));
  assert.throws(() => lockDir(dir), { code: 'failedPrecondition' });
  child.kill('SIGKILL');
  await new Promise((resolve) => child.once('exit', resolve));
  assert.equal(isAlive(identity), false);
  lockDir(dir)();
});
