import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { PACKAGE_ROOT } from '../../core/system/places.ts';
import { startProgram } from '../support/processes.ts';
import { copySetUp } from '../support/setup-tree.ts';

const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-setup-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** Runs JavaScript that sees the modules of set-up as `./setup/NAME.mjs`, in a process of its own. */
function script(code: string, ...argv: string[]) {
  const file = join(folder, `script-${readdirSync(folder).length}.mjs`);
  writeFileSync(file, code.replaceAll('./setup/', `${join(PACKAGE_ROOT, 'scripts/setup')}/`));
  return startProgram(process.execPath, [file, ...argv]);
}

test('set-up that has nothing to do says nothing and takes less than two seconds', async () => {
  const setUp = () => startProgram(process.execPath, [join(PACKAGE_ROOT, 'scripts/setup.mjs')]);
  assert.equal((await setUp().ended).code, 0);
  const begin = performance.now();
  const again = setUp();
  assert.equal((await again.ended).code, 0);
  assert(performance.now() - begin < 2000);
  assert.equal(again.output(), '');
});

test('what is missing on the machine is said at once, each with the command that installs it', async () => {
  const clone = join(folder, 'clone');
  copySetUp(clone);
  const programs = join(folder, 'programs');
  mkdirSync(programs);
  symlinkSync(process.execPath, join(programs, 'node'));
  const setUp = startProgram(process.execPath, [join(clone, 'scripts/setup.mjs')], {
    env: {
      PATH: programs,
      XDG_CACHE_HOME: join(folder, 'cache'),
      POCKETFLEET_NATS_SERVER: '',
      npm_execpath: '',
    },
  });
  assert.equal((await setUp.ended).code, 1);
  for (const [program, name] of [
    ['npm', 'npm'],
    ['g++', 'g++'],
    ['make', 'make'],
    ['python3', 'python3'],
    ['pip', 'python3-pip'],
  ] as const) {
    const sentence = setUp
      .output()
      .split('\n')
      .find((line) => line.includes(`${program} is missing`));
    assert(sentence?.includes(`apt-get install -y ${name}\``), `${program}: ${setUp.output()}`);
  }
});

test('a download with another checksum than the pinned one is refused and leaves nothing', async () => {
  const cache = join(folder, 'refused');
  const pins = JSON.parse(readFileSync(join(PACKAGE_ROOT, 'scripts/setup/pins.json'), 'utf8'));
  const pin = { ...pins.natsServer['linux-x64'], sha256: '0'.repeat(64) };
  const attempt = script(
    `import { fetchBroker } from './setup/broker.mjs';
    await fetchBroker({ cache: process.argv[2], pin: JSON.parse(process.argv[3]) });`,
    cache,
    JSON.stringify(pin),
  );
  assert.equal((await attempt.ended).code, 1);
  assert.match(
    attempt.output(),
    new RegExp(`checksum ${pins.natsServer['linux-x64'].sha256}, not the pinned 0000`),
  );
  assert.deepEqual(readdirSync(cache), []);
});

test('a cache folder that cannot be made is one sentence', async () => {
  const attempt = script(
    `import { acquireLock } from './setup/lock.mjs';
    await acquireLock('/proc/nope/setup.lock', () => {}).catch((caught) => console.log(caught.message));`,
  );
  assert.equal((await attempt.ended).code, 0);
  assert.match(
    attempt.output(),
    /^the cache folder \/proc\/nope cannot be made .*: name another with XDG_CACHE_HOME\.\n$/,
  );
});

// Adds one to a number in a file, slowly enough that two at once would lose one.
const COUNT = `
import { acquireLock } from './setup/lock.mjs';
import { readFileSync, writeFileSync } from 'node:fs';
const [lock, file] = process.argv.slice(2);
for (let i = 0; i < 20; i++) {
  const release = await acquireLock(lock, () => {});
  const n = Number(readFileSync(file, 'utf8'));
  await new Promise((resolve) => setImmediate(resolve));
  writeFileSync(file, String(n + 1));
  release();
}`;

test('of several set-ups at once one works at a time', async () => {
  const [lock, file] = [join(folder, 'count.lock'), join(folder, 'count')];
  writeFileSync(file, '0');
  const programs = [1, 2, 3].map(() => script(COUNT, lock, file));
  for (const program of programs) assert.equal((await program.ended).code, 0, program.output());
  assert.equal(readFileSync(file, 'utf8'), '60');
  assert(!existsSync(lock));
});

test('the lock of a set-up that was killed is taken over by exactly one of those that wait', async () => {
  const [lock, file] = [join(folder, 'killed.lock'), join(folder, 'killed')];
  writeFileSync(file, '0');
  const killed = script(
    `import { acquireLock } from './setup/lock.mjs';
    await acquireLock(process.argv[2], () => {});
    console.log('held');
    setInterval(() => {}, 1000);`,
    lock,
  );
  await killed.untilOutput(/held/);
  await killed.stop('SIGKILL');
  assert(existsSync(lock));
  const programs = [1, 2, 3].map(() => script(COUNT, lock, file));
  for (const program of programs) assert.equal((await program.ended).code, 0, program.output());
  assert.equal(readFileSync(file, 'utf8'), '60');
});
