// `npm run test:tls`: a fleet that encrypts, over two folders as over two machines, with real programs. A run on it gives
// the bytes of the same run in a fleet that does not, also when every certificate is replaced while it trains, and no
// worker loses its stream for that.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  isAlive,
  readChildren,
  readFleetFile,
  supervisorOf,
} from '../../coordinator/cli/local/fleet-file.ts';
import { loaderArguments } from '../../core/system/script-arguments.ts';
import { until } from '../support/processes.ts';

const MAIN = fileURLToPath(new URL('../../coordinator/cli/main.ts', import.meta.url));
const DEADLINE_MS = 180_000;

interface Ran {
  readonly child: ChildProcess;
  talk(): string;
}

function start(args: readonly string[], input?: string): Ran {
  const child = spawn(process.execPath, [...loaderArguments(), MAIN, ...args], { stdio: 'pipe' });
  let talk = '';
  for (const stream of [child.stdout, child.stderr]) stream!.on('data', (chunk) => (talk += chunk));
  child.stdin!.end(input ?? '');
  return { child, talk: () => talk };
}

async function run(args: readonly string[]): Promise<{ code: number | null; talk: string }> {
  const { child, talk } = start(args);
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, talk: talk() };
}

const ended = (child: ChildProcess) =>
  new Promise<void>((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve();
    else child.once('close', () => resolve());
  });

/** Some seconds of steps for two workers, with a stored stage for each epoch. */
const RUN = `
kind: teacher
name: crossing
network: { kind: pocketnet, channels: 2, layers: 4, embedding: 16 }
data: { kind: synthetic, identities: 12, images: 8, holdout: 4 }
training: { epochs: 40, batch: 16 }
verification: { pairs: 40 }
workers: { min: 1, max: 2 }
`;

/** The digest of the weights at the end of the run in the fleet of a folder. */
async function trained(dir: string, file: string): Promise<string> {
  const { code, talk } = await run(['submit', file, '--wait', '--dir', dir]);
  assert.equal(code, 0, talk);
  return finalDigest(dir);
}

async function finalDigest(dir: string): Promise<string> {
  const { talk } = await run(['runs', '--json', '--dir', dir]);
  const [trained] = JSON.parse(talk) as { state: string; weightsDigest: string }[];
  assert.equal(trained!.state, 'done', talk);
  assert.match(trained!.weightsDigest, /^[0-9a-f]{16}$/);
  return trained!.weightsDigest;
}

test('two machines of one encrypted fleet give the bytes of a plain one, through a change of every certificate', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-crossing-'));
  const [first, second, plain] = ['first', 'second', 'plain'].map((name) => join(folder, name));
  const started: Ran[] = [];
  t.after(async () => {
    for (const dir of [second!, first!, plain!]) {
      const supervisor = supervisorOf(dir);
      if (supervisor !== undefined) process.kill(supervisor.pid, 'SIGKILL');
      for (const { pid } of readChildren(dir).filter(isAlive)) process.kill(pid, 'SIGKILL');
    }
    for (const { child } of started) child.kill('SIGKILL');
    await Promise.all(started.map(({ child }) => ended(child)));
    rmSync(folder, { recursive: true, force: true });
  });
  const file = join(folder, 'run.yaml');
  writeFileSync(file, RUN);

  const up = start(['up', '--listen', '127.0.0.2', '--workers', '1', '--dir', first!]);
  started.push(up);
  await until('the first machine is up', () => /\bready; in another terminal/.test(up.talk()), DEADLINE_MS);
  const { coordinator, natsUrl } = readFleetFile(first!)!;
  assert.match(coordinator, /^127\.0\.0\.2:/);
  assert.match(natsUrl, /^tls:\/\/127\.0\.0\.2:/);
  const joinFile = join(first!, 'join.json');
  for (const path of ['join.json', 'tls/ca.key', 'tls/worker.key', 'tls/coordinator.crt'])
    assert.equal(statSync(join(first!, path)).mode & 0o777, 0o600, path);

  const joined = start(
    ['join', '-', '--name', 'other', '--workers', '1', '--dir', second!],
    readFileSync(joinFile, 'utf8'),
  );
  started.push(joined);
  await until('the second machine has joined', () => /^attached;/m.test(joined.talk()), DEADLINE_MS);
  const { token } = JSON.parse(readFileSync(joinFile, 'utf8')) as { token: string };
  const caFile = join(first!, 'tls', 'ca.crt');
  const asWorker = await run([
    'runs',
    '--coordinator',
    coordinator,
    '--token',
    token,
    '--tls-ca-file',
    caFile,
  ]);
  assert.match(asWorker.talk, /worker.*may not/s, 'its token is for workers alone');

  const log = (name: string) => readFileSync(join(first!, 'logs', `${name}.log`), 'utf8');
  const streams = () => log('coordinator').match(/"worker\.attached"/g)?.length;
  const before = streams();
  const work = start(['submit', file, '--wait', '--dir', first!]);
  started.push(work);
  await until('it trains', () => /"phase":"training"/.test(log('worker-1')), DEADLINE_MS);
  const oldCertificate = readFileSync(join(first!, 'tls', 'nats.crt'), 'utf8');
  const made = await run(['keys', 'generate', '--out', join(first!, 'tls'), '--name', '127.0.0.2']);
  assert.equal(made.code, 0, made.talk);
  assert.notEqual(readFileSync(join(first!, 'tls', 'nats.crt'), 'utf8'), oldCertificate);
  await until('nats-server has the new one', () => /Reloaded: tls/.test(log('nats')), DEADLINE_MS);
  await until(
    'so has the coordinator',
    () => log('coordinator').match(/the certificate is in use/g)!.length === 2,
    DEADLINE_MS,
  );
  assert.equal(work.child.exitCode, null, 'the certificates were replaced while the run trained');
  await ended(work.child);
  assert.equal(work.child.exitCode, 0, work.talk());
  assert.equal(streams(), before, 'no worker came again');
  assert.doesNotMatch(log('worker-1'), /no stream to the coordinator|the broker is away/);
  const digest = await finalDigest(first!);
  for (const { child } of [joined, up]) {
    child.kill('SIGTERM');
    await ended(child);
  }
  assert.deepEqual([joined.child.exitCode, up.child.exitCode], [0, 0]);

  const other = start(['up', '--workers', '1', '--dir', plain!]);
  started.push(other);
  await until('the plain fleet is up', () => /\bready; in another terminal/.test(other.talk()), DEADLINE_MS);
  assert.match(readFleetFile(plain!)!.natsUrl, /^nats:/);
  assert.equal(await trained(plain!, file), digest);
  other.child.kill('SIGTERM');
  await ended(other.child);
});
