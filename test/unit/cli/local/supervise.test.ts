// Real child processes: small scripts that die, live, and ignore SIGTERM.

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { identityOf, isAlive } from '../../../../coordinator/cli/local/fleet-file.ts';
import { restartDelayMs, supervise } from '../../../../coordinator/cli/local/supervise.ts';

function child(t: { after(f: () => void): void }, script: string) {
  const dir = mkdtempSync(join(tmpdir(), 'pf-supervise-'));
  const said: string[] = [];
  const spec = {
    name: 'child',
    command: process.execPath,
    args: ['-e', script],
    cwd: dir,
    env: { MARK: join(dir, 'mark') },
    logFile: join(dir, 'child.log'),
  };
  const supervised = supervise(spec, { changed: () => {}, say: (text) => said.push(text) });
  t.after(() => {
    supervised.kill();
    rmSync(dir, { recursive: true, force: true });
  });
  return { supervised, said, dir, log: () => readFileSync(spec.logFile, 'utf8') };
}

async function eventually(holds: () => boolean): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error('waited 10 s in vain');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

test('a child that dies is started again, and its deaths and output are kept', async (t) => {
  // Dies the first time, lives the second.
  const script = `
    const fs = require('node:fs');
    if (fs.existsSync(process.env.MARK)) { console.log('second life'); setInterval(() => {}, 1000); }
    else { fs.writeFileSync(process.env.MARK, ''); console.error('first life'); process.exit(3); }`;
  const { supervised, said, log } = child(t, script);
  const first = supervised.pid();
  await eventually(() => existsSync(supervised.logFile) && log().includes('second life'));
  assert.notEqual(supervised.pid(), first);
  assert.equal(supervised.deaths(), 1);
  assert.equal(supervised.lastEnd(), 'exited with 3');
  assert.match(log(), /first life/);
  assert.match(said[0]!, /^child exited with 3; starting it again in 250 ms/);
  await supervised.stop({ againMs: 1000, killMs: 2000 });
});

test('a child that keeps dying is counted, so that a start can be given up', async (t) => {
  const { supervised } = child(t, 'process.exit(1)');
  await eventually(() => supervised.deaths() === 2);
  await supervised.stop({ againMs: 1000, killMs: 2000 });
});

test('a child whose log cannot be opened does its work without it', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'pf-supervise-'));
  const said: string[] = [];
  const mark = join(dir, 'mark');
  const supervised = supervise(
    {
      name: 'child',
      command: process.execPath,
      args: [
        '-e',
        `require('node:fs').writeFileSync(${JSON.stringify(mark)}, ''); setInterval(() => {}, 1000);`,
      ],
      cwd: dir,
      env: {},
      logFile: join(dir, 'gone', 'child.log'),
    },
    { changed: () => {}, say: (text) => said.push(text) },
  );
  t.after(() => {
    supervised.kill();
    rmSync(dir, { recursive: true, force: true });
  });
  await eventually(() => existsSync(mark));
  assert.match(
    said[0]!,
    /child\.log: the log cannot be opened, because .* \(ENOENT\); child is started without it/,
  );
  await supervised.stop({ againMs: 1000, killMs: 2000 });
});

test('a child that ends on SIGTERM is not started again', async (t) => {
  const { supervised } = child(t, 'setInterval(() => {}, 1000)');
  const identity = identityOf('child', supervised.pid()!);
  await supervised.stop({ againMs: 1000, killMs: 5000 });
  assert.equal(isAlive(identity), false);
  assert.equal(supervised.pid(), undefined);
});

test('a child that ignores SIGTERM is killed when patience ends, and its second SIGTERM came before', async (t) => {
  const script = `
    let heard = 0;
    process.on('SIGTERM', () => console.log('heard ' + ++heard));
    setInterval(() => {}, 1000);
    console.log('ready');`;
  const { supervised, said, log } = child(t, script);
  await eventually(() => log().includes('ready'));
  const identity = identityOf('child', supervised.pid()!);
  await supervised.stop({ againMs: 100, killMs: 500 });
  assert.equal(isAlive(identity), false);
  assert.match(log(), /heard 1\nheard 2/);
  assert.match(said.at(-1)!, /does not stop; killing process/);
});

test('the delay before a restart grows and is bounded', () => {
  assert.deepEqual([1, 2, 3, 7, 50].map(restartDelayMs), [250, 500, 1000, 10_000, 10_000]);
});
