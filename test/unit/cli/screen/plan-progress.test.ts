// Progress on real pseudo-terminals: bars where the terminal can draw them, plain lines where it says that it cannot.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { loaderArguments } from '../../../../core/system/script-arguments.ts';

const PROGRESS = new URL('../../../../coordinator/cli/screen/plan-progress.ts', import.meta.url).href;
const MESSAGES = new URL('../messages.ts', import.meta.url).href;

/** Shows one state and ends, as after a second Ctrl-C, without closing the display. */
const PROGRAM = `
  const { createProgress } = await import('${PROGRESS}');
  const { plan, run, snapshot } = await import('${MESSAGES}');
  const progress = createProgress();
  progress.show(snapshot({ plans: [plan()], runs: [run()] }));
  progress.say('a line of talk');
  setTimeout(() => process.exit(0), 300);`;

const AT_A_TERMINAL = `
import os, pty, sys
pty.spawn(sys.argv[1:])`;

async function shown(env: Record<string, string>): Promise<string> {
  const child = spawn(
    'python3',
    ['-c', AT_A_TERMINAL, process.execPath, ...loaderArguments(), '--input-type=module', '-e', PROGRAM],
    { env: { ...process.env, CI: '', NO_COLOR: '', ...env }, stdio: ['ignore', 'pipe', 'inherit'] },
  );
  let out = '';
  child.stdout.on('data', (chunk) => {
    out += chunk;
  });
  await new Promise((resolve) => child.once('close', resolve));
  return out;
}

test('a dumb terminal gets lines without escapes, another gets bars and its cursor back', async () => {
  const [dumb, able] = await Promise.all([shown({ TERM: 'dumb' }), shown({ TERM: 'xterm' })]);
  assert.match(dumb, /a line of talk/);
  assert.match(dumb, /step/);
  assert.equal(dumb.includes('\u001b'), false, JSON.stringify(dumb));
  assert.match(able, /█|░/);
  assert.equal(able.lastIndexOf('\u001b[?25h') > able.lastIndexOf('\u001b[?25l'), true, JSON.stringify(able));
});
