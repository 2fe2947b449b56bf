// `up` with the real programs: what it starts, what it writes, what it starts again, and that nothing is left when it
// ends, also when a child does not want to go or the supervisor itself was killed.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  fleetFilePath,
  isAlive,
  type ProcessIdentity,
  readChildren,
  readFleetFile,
} from '../../coordinator/cli/fleet-file.ts';

const MAIN = join(import.meta.dirname, '../../coordinator/cli/main.ts');

function start(args: readonly string[]): ChildProcess & { talk: () => string } {
  const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), MAIN, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let talk = '';
  child.stdout!.on('data', (chunk) => {
    talk += chunk;
  });
  child.stderr!.on('data', (chunk) => {
    talk += chunk;
  });
  return Object.assign(child, { talk: () => talk });
}

function ended(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve) => {
    if (child.exitCode !== null) resolve(child.exitCode);
    else child.once('close', resolve);
  });
}

async function eventually<T>(what: string, look: () => T | undefined | false): Promise<T> {
  const deadline = performance.now() + 90_000;
  for (;;) {
    const found = look();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > deadline) throw new Error(`waited 90 s in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function folder(t: { after(f: () => void): void }): string {
  const dir = mkdtempSync(join(tmpdir(), 'pf-up-'));
  t.after(() => {
    // A test that failed midway must not leave its processes to the next one.
    for (const { pid } of readChildren(dir).filter(isAlive)) process.kill(pid, 'SIGKILL');
    rmSync(dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  });
  return dir;
}

const isReady = (up: { talk: () => string }) => () => up.talk().includes('ready; in another terminal');
const byName = (dir: string, name: string): ProcessIdentity | undefined =>
  readChildren(dir).find((child) => child.name === name);

test('up starts a fleet, replaces what dies, refuses a second one, and leaves nothing', async (t) => {
  const dir = folder(t);
  const up = start(['up', '--dir', dir, '--workers', '2']);
  t.after(() => up.kill('SIGKILL'));
  await eventually(`ready: ${up.talk()}`, isReady(up));

  assert.equal(statSync(fleetFilePath(dir)).mode & 0o777, 0o600);
  assert.equal(readFleetFile(dir)?.pid, up.pid);
  assert.deepEqual(
    readChildren(dir).map(({ name }) => name),
    ['nats', 'coordinator', 'worker-1', 'worker-2'],
  );
  assert.match(readFileSync(join(dir, 'nats.conf'), 'utf8'), /sync_interval: always/);

  const second = start(['up', '--dir', dir, '--workers', '1']);
  assert.equal(await ended(second), 1);
  assert.match(second.talk(), new RegExp(`in use by a fleet \\(pocketfleet up, process ${up.pid}\\)`));

  const before = readChildren(dir);
  for (const name of ['worker-1', 'coordinator']) {
    const old = before.find((child) => child.name === name)!;
    process.kill(old.pid, 'SIGKILL');
    await eventually(`${name} again`, () => {
      const now = byName(dir, name);
      return now !== undefined && now.pid !== old.pid && isAlive(now);
    });
  }
  const workers = start(['workers', '--dir', dir, '--json']);
  assert.equal(await ended(workers), 0, workers.talk());

  const all = readChildren(dir);
  up.kill('SIGINT');
  assert.equal(await ended(up), 0);
  assert.match(up.talk(), /stopped; nothing is left running/);
  assert.deepEqual(all.filter(isAlive), []);
  assert.equal(readFleetFile(dir), undefined);
});

test('a child that does not listen is killed, and leftovers of a killed supervisor are ended by down', async (t) => {
  const dir = folder(t);
  const up = start(['up', '--dir', dir, '--workers', '1']);
  t.after(() => up.kill('SIGKILL'));
  await eventually('ready', isReady(up));
  const all = readChildren(dir);
  assert.equal(all.length, 3);

  // A stopped process hears no SIGTERM; only SIGKILL ends it.
  process.kill(byName(dir, 'worker-1')!.pid, 'SIGSTOP');
  up.kill('SIGKILL');
  await ended(up);
  assert.deepEqual(all.filter(isAlive), all, 'children outlive a supervisor that was killed');

  const down = start(['down', '--dir', dir]);
  assert.equal(await ended(down), 0);
  assert.match(down.talk(), /left by a supervisor that was killed/);
  assert.deepEqual(all.filter(isAlive), []);
});

test('up --detach returns when the fleet is ready, and down stops it', async (t) => {
  const dir = folder(t);
  const up = start(['up', '--dir', dir, '--workers', '1', '--detach']);
  assert.equal(await ended(up), 0, up.talk());
  const supervisor = readFleetFile(dir)!.pid;
  const all = readChildren(dir);
  assert.deepEqual(all.filter(isAlive), all);
  const down = start(['down', '--dir', dir]);
  assert.equal(await ended(down), 0, down.talk());
  assert.deepEqual(all.filter(isAlive), []);
  assert.equal(isAlive({ name: 'up', pid: supervisor, startTicks: '' }), false);
});

test('up that is interrupted while it starts leaves nothing', async (t) => {
  const dir = folder(t);
  const up = start(['up', '--dir', dir, '--workers', '2']);
  t.after(() => up.kill('SIGKILL'));
  await eventually('first child', () => readChildren(dir).length > 0);
  const some = readChildren(dir);
  up.kill('SIGTERM');
  assert.equal(await ended(up), 1);
  assert.deepEqual(some.filter(isAlive), []);
  assert.deepEqual(readChildren(dir).filter(isAlive), []);
});
