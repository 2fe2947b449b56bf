// `up` with the real programs: what it starts, what it writes, what it starts again, and that nothing is left when it
// ends, also when a child does not want to go or the supervisor itself was killed.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  fleetFilePath,
  isAlive,
  type ProcessIdentity,
  readChildren,
  readFleetFile,
  supervisorOf,
} from '../../coordinator/cli/local/fleet-file.ts';
import { readAddonOrigin } from '../../core/system/addon-origin.ts';
import { loaderArguments } from '../../core/system/script-arguments.ts';
import { healthOf } from '../support/grpc-raw.ts';
import { until } from '../support/processes.ts';
import { startRecordingProxy } from '../support/proxy.ts';

const MAIN = fileURLToPath(new URL('../../coordinator/cli/main.ts', import.meta.url));

interface Place {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}
type Started = ChildProcess & { talk: () => string };

function start(args: readonly string[], options: Place = {}): Started {
  const child = spawn(process.execPath, [...loaderArguments(), MAIN, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
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
    if (child.exitCode !== null || child.signalCode !== null) resolve(child.exitCode);
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

interface Scene {
  readonly dir: string;
  start(args: readonly string[], options?: Place): Started;
}

/** A folder for a fleet; whatever a failed test leaves there is ended, supervisors first, since they start things again. */
function scene(t: { after(f: () => Promise<void>): void }): Scene {
  const dir = join(mkdtempSync(join(tmpdir(), 'pf up ü-')), '.pocketfleet');
  const started: ChildProcess[] = [];
  t.after(async () => {
    const supervisor = supervisorOf(dir);
    if (supervisor !== undefined) process.kill(supervisor.pid, 'SIGKILL');
    for (const child of started) child.kill('SIGKILL');
    await Promise.all(started.map(ended));
    for (const { pid } of readChildren(dir).filter(isAlive)) process.kill(pid, 'SIGKILL');
    rmSync(dirname(dir), { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  });
  return {
    dir,
    start: (args, options) => {
      const child = start(args, options);
      started.push(child);
      return child;
    },
  };
}

const isReady = (up: { talk: () => string }) => () => up.talk().includes('ready; in another terminal');
const byName = (dir: string, name: string): ProcessIdentity | undefined =>
  readChildren(dir).find((child) => child.name === name);

test('up --coordinators 2: commands go to the one that leads, also when it stands still, and nothing is left', async (t) => {
  const { dir, start } = scene(t);
  const up = start(['up', '--dir', dir, '--workers', '0', '--coordinators', '2']);
  await eventually(`ready: ${up.talk()}`, isReady(up));
  assert.deepEqual(
    readChildren(dir).map(({ name }) => name),
    ['nats', 'coordinator-1', 'coordinator-2'],
  );
  const addresses = readFleetFile(dir)!.coordinator.split(',');
  // `up` is ready when one of them answers; the other one may not listen yet.
  const leader = await until('both listen and one leads', async () => {
    const asked = addresses.map((address) => healthOf(address, ['readiness']));
    const states = await Promise.all(asked).catch(() => []);
    const place = states.findIndex(([readiness]) => readiness === 'SERVING');
    return place < 0 ? undefined : `coordinator-${place + 1}`;
  });
  const stopped = byName(dir, leader)!;
  process.kill(stopped.pid, 'SIGSTOP');
  t.after(() => isAlive(stopped) && process.kill(stopped.pid, 'SIGCONT'));
  const runs = start(['runs', '--dir', dir]);
  assert.equal(await ended(runs), 0, runs.talk());
  process.kill(stopped.pid, 'SIGCONT');
  const all = readChildren(dir);
  const down = start(['down', '--dir', dir]);
  assert.equal(await ended(down), 0, down.talk());
  assert.equal(await ended(up), 0, up.talk());
  assert.deepEqual(all.filter(isAlive), []);
});

test('up starts a fleet, replaces what dies, refuses a second one, and leaves nothing', async (t) => {
  const { dir, start } = scene(t);
  const folder = join(dirname(dir), 'targets');
  const up = start(['up', '--dir', dir, '--workers', '2', '--metrics-targets', folder]);
  await eventually(`ready: ${up.talk()}`, isReady(up));
  const scraped = (program: string) => readTargets(join(folder, `${program}.json`));
  assert.deepEqual(scraped('coordinator'), [readFleetFile(dir)?.metrics]);
  const scrapedBefore = scraped('worker');
  assert.equal(scrapedBefore.length, 2);

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
  // The same address and token as before: the CLI finds the new coordinator once it listens, and both workers in it.
  let workers = start(['workers', '--dir', dir]);
  for (const deadline = performance.now() + 60_000; ; workers = start(['workers', '--dir', dir])) {
    const code = await ended(workers);
    if (code === 0 && /^worker-1 +idle/m.test(workers.talk()) && /^worker-2 +idle/m.test(workers.talk()))
      break;
    assert.ok(performance.now() < deadline, workers.talk());
  }

  await eventually('the worker that was started again is scraped', () => {
    const now = scraped('worker');
    return now.length === 2 && now.some((target) => !scrapedBefore.includes(target));
  });
  const all = readChildren(dir);
  up.kill('SIGINT');
  assert.equal(await ended(up), 130);
  for (const program of ['coordinator', 'worker']) assert.deepEqual(scraped(program), []);
  assert.match(up.talk(), /stopped; nothing is left running/);
  assert.deepEqual(all.filter(isAlive), []);
  assert.equal(readFleetFile(dir), undefined);
});

/** What Prometheus finds in a file of targets. */
function readTargets(path: string): readonly string[] {
  const groups = JSON.parse(readFileSync(path, 'utf8')) as {
    targets: string[];
    labels: Record<string, string>;
  }[];
  for (const { labels } of groups) assert.deepEqual(labels, { namespace: 'local', fleet: 'local' });
  return groups.flatMap(({ targets }) => targets);
}

/** A program on PATH that lists two GPUs, as a machine with a driver has it. */
function twoGpus(folder: string): string {
  mkdirSync(folder, { recursive: true });
  const lines = ['GPU 0: NVIDIA H100 (UUID: GPU-aaaa)', 'GPU 1: NVIDIA H100 (UUID: GPU-bbbb)'];
  writeFileSync(
    join(folder, 'nvidia-smi'),
    `#!/bin/sh\n${lines.map((line) => `echo '${line}'`).join('\n')}\n`,
    {
      mode: 0o755,
    },
  );
  return [folder, process.env.PATH].join(delimiter);
}

/** A variable of a process that runs, as it was started with. */
function variableOf(pid: number, name: string): string | undefined {
  const entries = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
  return entries.find((entry) => entry.startsWith(`${name}=`))?.slice(name.length + 1);
}

/** Values that the named worker was started with. */
async function placeOf(dir: string, worker: string): Promise<(string | undefined)[]> {
  const names = [
    'POCKETFLEET_DEVICE',
    'CUDA_VISIBLE_DEVICES',
    'POCKETFLEET_GPU_MEMORY_SHARE',
    'POCKETFLEET_DATA_THREADS',
  ];
  const { pid } = await eventually(worker, () => byName(dir, worker));
  return names.map((name) => variableOf(pid, name));
}

test('up gives each worker one of the GPUs that it may use, and names a worker that cannot', async (t) => {
  const { dir, start } = scene(t);
  const env = { PATH: twoGpus(join(dirname(dir), 'programs')), CUDA_VISIBLE_DEVICES: '' };
  const up = start(['up', '--dir', dir, '--workers', '2', '--devices', '1,GPU-a'], { env });
  const threads = String(Math.max(1, Math.min(8, Math.floor(availableParallelism() / 2))));
  assert.deepEqual(await placeOf(dir, 'worker-1'), ['gpu', '1', undefined, threads]);
  assert.deepEqual(await placeOf(dir, 'worker-2'), ['gpu', 'GPU-a', undefined, threads]);
  assert.match(up.talk(), /^GPU 1 \(NVIDIA H100\): worker-1$/m);
  assert.match(up.talk(), /^GPU-a \(NVIDIA H100\): worker-2$/m);
  const [, log] = await eventually(
    'a worker has ended',
    () => /^worker-\d exited with 1; starting it again .*\(log: (.*)\)$/m.exec(up.talk()) ?? undefined,
  );
  assert.match(readFileSync(log!, 'utf8'), /^worker: .*TensorFlow uses no GPU/m);
  up.kill('SIGINT');
  assert.equal(await ended(up), 130, up.talk());
  assert.deepEqual(readChildren(dir), []);
});

test('up leaves GPUs alone that TensorFlow was not set up for, or that are hidden, and says so', async (t) => {
  const { dir, start } = scene(t);
  // Set-up puts the CUDA build on a machine that has GPUs; there they have to be hidden.
  const [visible, reason] =
    readAddonOrigin().variant === 'cpu'
      ? ['0,1', /^workers compute on CPU cores, .* 2 GPUs .*CPU build.*export POCKETFLEET_TENSORFLOW=gpu/m]
      : ['-1', /^workers compute on CPU cores, .* 2 GPUs .*CUDA_VISIBLE_DEVICES is "-1"$/m];
  const env = { PATH: twoGpus(join(dirname(dir), 'programs')), CUDA_VISIBLE_DEVICES: visible };
  const up = start(['up', '--dir', dir, '--workers', '1'], { env });
  assert.deepEqual(await placeOf(dir, 'worker-1'), ['cpu', '-1', undefined, undefined]);
  assert.match(up.talk(), reason);
  up.kill('SIGINT');
  assert.equal(await ended(up), 130, up.talk());
  assert.deepEqual(readChildren(dir), []);
});

test('up asks nvidia-smi when it starts workers, never for --help, and refuses a GPU that is not there', async (t) => {
  const { dir, start } = scene(t);
  const programs = join(dirname(dir), 'programs');
  const PATH = twoGpus(programs);
  const mark = join(programs, 'asked');
  writeFileSync(join(programs, 'nvidia-smi'), `\ntouch '${mark}'\n`, { flag: 'a' });
  const help = start(['up', '--help'], { env: { PATH } });
  assert.equal(await ended(help), 0, help.talk());
  assert.equal(existsSync(mark), false);
  const up = start(['up', '--dir', dir, '--devices', '0,2'], { env: { PATH } });
  assert.equal(await ended(up), 1);
  assert.match(up.talk(), /--devices: "2" names none of this machine's 2 GPUs/);
  assert.deepEqual(readChildren(dir), []);
  assert.equal(existsSync(mark), true);
});

test('up after a killed supervisor ends what is left, and is ready with its own workers alone', async (t) => {
  const { dir, start } = scene(t);
  const up = start(['up', '--dir', dir, '--workers', '1']);
  await eventually('ready', isReady(up));
  const all = readChildren(dir);
  assert.equal(all.length, 3);

  // A stopped process hears no SIGTERM; only SIGKILL ends it.
  process.kill(byName(dir, 'worker-1')!.pid, 'SIGSTOP');
  up.kill('SIGKILL');
  await ended(up);
  assert.deepEqual(all.filter(isAlive), all, 'children outlive a supervisor that was killed');

  // The journal knows a worker-1, which is not the one of this fleet's new life.
  const again = start(['up', '--dir', dir, '--workers', '1', '--detach']);
  assert.equal(await ended(again), 0, again.talk());
  for (const words of [/left by a supervisor that was killed/, /starting nats-server/, /1 worker attached/])
    assert.match(again.talk(), words);
  assert.deepEqual(all.filter(isAlive), []);
  const workers = start(['workers', '--json', '--dir', dir]);
  assert.equal(await ended(workers), 0, workers.talk());
  const [worker] = JSON.parse(workers.talk()) as { connected: boolean; pid: number }[];
  assert.deepEqual([worker?.connected, worker?.pid], [true, byName(dir, 'worker-1')?.pid]);

  const down = start(['down', '--dir', dir]);
  assert.equal(await ended(down), 0, down.talk());
  assert.equal(readFleetFile(dir), undefined);
});

test('a fleet behind a proxy is found from a folder below, refuses a second with its reason, and ends with down', async (t) => {
  const { dir, start } = scene(t);
  const proxy = await startRecordingProxy();
  t.after(() => proxy.close());
  const below = join(dirname(dir), 'deep', 'er');
  mkdirSync(below, { recursive: true });
  const up = start(['up', '--workers', '1', '--detach'], { cwd: dirname(dir), env: proxy.env });
  assert.equal(await ended(up), 0, up.talk());
  const supervisor = readFleetFile(dir)!.pid;
  const all = readChildren(dir);
  assert.deepEqual(all.filter(isAlive), all);

  const second = start(['up', '--detach'], { env: { POCKETFLEET_DIR: dir } });
  assert.equal(await ended(second), 1);
  assert.match(second.talk(), new RegExp(`in use by a fleet \\(pocketfleet up, process ${supervisor}\\)`));
  const workers = start(['workers'], { cwd: below, env: proxy.env });
  assert.equal(await ended(workers), 0, workers.talk());
  assert.match(workers.talk(), /^worker-1 +idle/m);
  assert.deepEqual(proxy.heard, []);

  const down = start(['down'], { cwd: below });
  assert.equal(await ended(down), 0, down.talk());
  assert.ok(down.talk().includes(dir), down.talk());
  assert.deepEqual(all.filter(isAlive), []);
  assert.equal(isAlive({ name: 'up', pid: supervisor, startTicks: '' }), false);
});

test('up that loses its listener or its terminal keeps the fleet', async (t) => {
  const { dir, start } = scene(t);
  const up = start(['up', '--dir', dir, '--workers', '0']);
  await eventually('ready', isReady(up));
  up.stdout!.destroy();
  up.stderr!.destroy();
  const old = byName(dir, 'coordinator')!;
  process.kill(old.pid, 'SIGKILL');
  up.kill('SIGHUP');
  await eventually('coordinator again', () => {
    const now = byName(dir, 'coordinator');
    return now !== undefined && now.pid !== old.pid && isAlive(now);
  });
  const all = readChildren(dir);
  assert.equal(all.length, 2);
  // As a service manager stops it, which is no failure.
  up.kill('SIGTERM');
  assert.equal(await ended(up), 0);
  assert.deepEqual(all.filter(isAlive), []);
});

test('up whose worker cannot start names it with the end of its log, and leaves nothing', async (t) => {
  const { dir, start } = scene(t);
  const up = start(['up', '--dir', dir, '--workers', '1', '--detach'], { env: { POCKETFLEET_SLOTS: '0' } });
  await eventually('children', () => readChildren(dir).length === 3);
  const all = readChildren(dir);
  assert.equal(await ended(up), 1);
  assert.match(up.talk(), /worker-1: exited with 1 3 times in a row; the end of worker-1's log .*\n.*slots/);
  assert.deepEqual(all.filter(isAlive), []);
  assert.equal(readFleetFile(dir), undefined);
});

test('up that is interrupted while it starts leaves nothing, in the foreground or detached', async (t) => {
  const cases = [
    { flags: [], signal: 'SIGTERM', code: 143 },
    { flags: [], signal: 'SIGINT', again: 'SIGTERM', code: 130 },
    { flags: ['--detach'], signal: 'SIGINT', code: 130 },
    // Without a chance to pass the wish on.
    { flags: ['--detach'], signal: 'SIGKILL', code: null },
  ] as const;
  for (const { flags, signal, code, ...more } of cases) {
    const { dir, start } = scene(t);
    const up = start(['up', '--dir', dir, '--workers', '2', ...flags]);
    await eventually('first child', () => readChildren(dir).length > 0);
    const some = readChildren(dir);
    const supervisor = supervisorOf(dir)!;
    up.kill(signal);
    if ('again' in more) up.kill(more.again);
    assert.equal(await ended(up), code, up.talk());
    await eventually('the supervisor has ended', () => !isAlive(supervisor));
    await eventually('its children have ended', () => !some.some(isAlive));
    assert.deepEqual(readChildren(dir), []);
    assert.equal(existsSync(join(dir, 'up.lock')), false);
    assert.equal(readFleetFile(dir), undefined);
  }
});
