// The demo in small, through the command that a user types: real processes, real training, and nothing left behind.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { isAlive, type ProcessIdentity, readChildren } from '../../coordinator/cli/local/fleet-file.ts';
import { loaderArguments } from '../../core/system/script-arguments.ts';
import { readSample, skeletonOf } from '../support/readme-sample.ts';

const ROOT = join(import.meta.dirname, '../..');
const MAIN = fileURLToPath(new URL('../../coordinator/cli/main.ts', import.meta.url));
const PLAN = join(ROOT, 'examples/demo-tiny.yaml');

interface Demo {
  readonly child: ChildProcess;
  readonly ended: Promise<number | null>;
  out(): string;
  err(): string;
  /** Folder of the demo's fleet, inside the temporary folder that the demo was given. */
  fleetDir(): string | undefined;
}

function startDemo(t: { after(f: () => void): void }): Demo & { dir: string } {
  const dir = mkdtempSync(join(tmpdir(), 'pf-demo-test-'));
  const child = spawn(
    process.execPath,
    [...loaderArguments(), MAIN, 'demo', '--plan', PLAN, '--workers', '2'],
    { cwd: dir, env: { ...process.env, TMPDIR: dir }, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let out = '';
  let err = '';
  child.stdout.on('data', (chunk) => {
    out += chunk;
  });
  child.stderr.on('data', (chunk) => {
    err += chunk;
  });
  const fleetDir = () => {
    const name = readdirSync(dir).find((entry) => entry.startsWith('pocketfleet-demo-'));
    return name === undefined ? undefined : join(dir, name);
  };
  t.after(() => {
    child.kill('SIGKILL');
    for (const { pid } of readChildren(fleetDir() ?? dir).filter(isAlive)) process.kill(pid, 'SIGKILL');
    rmSync(dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  });
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  return { child, ended, dir, out: () => out, err: () => err, fleetDir };
}

async function eventually<T>(what: string, look: () => T | undefined): Promise<T> {
  const deadline = performance.now() + 90_000;
  for (;;) {
    const found = look();
    if (found !== undefined) return found;
    if (performance.now() > deadline) throw new Error(`waited 90 s in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const childrenOf = (demo: Demo): readonly ProcessIdentity[] => {
  const dir = demo.fleetDir();
  return dir === undefined ? [] : readChildren(dir);
};

test('the demo searches, trains, distils, verifies, exports and reports, and leaves nothing running', async (t) => {
  const demo = startDemo(t);
  const children = await eventually(`four children: ${demo.err()}`, () => {
    const found = childrenOf(demo);
    return found.length === 4 ? found : undefined;
  });
  assert.equal(await demo.ended, 0, demo.err());
  assert.match(demo.out(), /Candidates, best first/);
  for (const name of ['teacher', 'student-distilled', 'student-alone'])
    assert.match(demo.out(), new RegExp(`${name} .* done `));
  assert.match(demo.out(), /student-(distilled|alone) .* exported/);
  // No verdict without its interval: six people are held out of the tiny plan.
  const verdict =
    /^student-\S+ (is better than|is worse than|and) student-\S+( are too close to tell apart)?: [+-][\d.]+ points \(95 % interval [+-][\d.]+ to [+-][\d.]+; 40 pairs of 6 people\)$/m;
  assert.match(demo.out(), verdict);
  assert.doesNotMatch(demo.out(), /winner/);
  // What the README shows is still what is printed, but for numbers, verdicts and the lines of progress.
  const printed = new Set(`${demo.err()}\n${demo.out()}`.split('\n').map(skeletonOf));
  for (const line of readSample().lines) {
    const skeleton = skeletonOf(line);
    assert.ok(
      skeleton === undefined || printed.has(skeleton),
      `the README shows a line that no demo prints: ${line}`,
    );
  }

  const model = readFileSync(join(demo.dir, 'out/demo-network.safetensors'));
  const header = JSON.parse(model.subarray(8, 8 + Number(model.readBigUInt64LE(0))).toString('utf8'));
  assert.ok(Object.keys(header).length > 10, 'the exported network has tensors');
  const page = readFileSync(join(demo.dir, 'out/demo-report.html'), 'utf8');
  for (const heading of ['Candidates', 'Training', 'Verification', 'Example pairs', 'Who worked when'])
    assert.match(page, new RegExp(`<h2>${heading}</h2>`));
  // Pictures are base64, in which any word may turn up.
  const words = page.replaceAll(/base64,[^"]*/g, '');
  assert.equal(/NaN|<script|https?:/.exec(words), null);

  assert.deepEqual(children.filter(isAlive), []);
  assert.equal(demo.fleetDir(), undefined, 'its folder is gone');
});

test('Ctrl-C in the middle of the demo stops everything', async (t) => {
  const demo = startDemo(t);
  await eventually(`work under way: ${demo.err()}`, () => (/candidates/.test(demo.err()) ? true : undefined));
  const children = childrenOf(demo);
  assert.equal(children.length, 4);
  demo.child.kill('SIGINT');
  assert.equal(await demo.ended, 130);
  assert.match(demo.err(), /nothing is left running/);
  assert.deepEqual(children.filter(isAlive), []);
  assert.equal(existsSync(join(demo.dir, 'out')), false);
  assert.equal(demo.fleetDir(), undefined);
});
