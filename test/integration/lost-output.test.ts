// Commands whose output cannot be written: a full device, a reader that has ended. Real processes against a fleet whose
// answers are written down.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { openSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { loaderArguments } from '../../core/system/script-arguments.ts';
import { plan, run, snapshot, sweep } from '../unit/cli/messages.ts';
import { startScriptedFleet } from '../unit/cli/scripted-fleet.ts';

const ROOT = join(import.meta.dirname, '../..');
const MAIN = fileURLToPath(new URL('../../coordinator/cli/main.ts', import.meta.url));

interface Streams {
  readonly stdout: 'full' | 'closed' | 'read';
  readonly stderr: 'full' | 'read';
}

/** A pipe that is closed here before the command writes is one whose reader has ended. */
async function command(args: readonly string[], { stdout, stderr }: Streams) {
  const descriptor = (kind: Streams['stdout']) => (kind === 'full' ? openSync('/dev/full', 'w') : 'pipe');
  const child = spawn(process.execPath, [...loaderArguments(), MAIN, ...args], {
    stdio: ['ignore', descriptor(stdout), descriptor(stderr)],
  });
  let out = '';
  let err = '';
  if (stdout === 'closed') child.stdout!.destroy();
  child.stdout?.on('data', (chunk) => {
    out += chunk;
  });
  child.stderr?.on('data', (chunk) => {
    err += chunk;
  });
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, out, err };
}

const FULL = { stdout: 'full', stderr: 'read' } as const;
const ONE_SENTENCE = /^pocketfleet: the output cannot be written: no space is left [^\n]*\n$/;

test('output that finds no space is one sentence and exit code 1, and talk that finds none is nothing', async (t) => {
  const fleet = await startScriptedFleet({
    plans: [plan({ state: 'failed', reason: 'no candidate was left' })],
    sweeps: [sweep()],
    runs: [run()],
    snapshots: [snapshot({ plans: [plan({ state: 'failed', reason: 'no candidate was left' })] })],
  });
  t.after(() => fleet.close());
  const where = ['--coordinator', fleet.address, '--token', fleet.token];

  for (const args of [['--help'], ['runs', ...where], ['runs', '--json', ...where]]) {
    const { code, err } = await command(args, FULL);
    assert.match(err, ONE_SENTENCE, args.join(' '));
    assert.equal(code, 1, args.join(' '));
  }
  const untold = await command(['runs', ...where], { stdout: 'read', stderr: 'full' });
  assert.equal(untold.code, 0);
  assert.match(untold.out, /run-1/);

  // What came of the work is the exit code's to say, whoever reads the rest.
  const waiting = ['submit', join(ROOT, 'examples/demo-tiny.yaml'), '--wait', ...where];
  const unread = await command(waiting, { stdout: 'closed', stderr: 'read' });
  assert.equal(unread.code, 1);
  assert.match(unread.err, /no candidate was left/);
  assert.deepEqual(
    fleet.asked.map(({ method }) => method).filter((method) => method === 'watch'),
    ['watch'],
  );
});
