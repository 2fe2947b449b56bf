// SIGHUP with and without a terminal: real processes, a real pseudo-terminal that is closed.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { loaderArguments } from '../../../core/system/script-arguments.ts';
import { startProgram } from '../../support/processes.ts';

const MODULE = JSON.stringify(new URL('../../../core/system/stop-signals.ts', import.meta.url).href);
const STREAMS = JSON.stringify(new URL('../../../core/system/standard-streams.ts', import.meta.url).href);

/** Ends with 7 when it was asked to stop. */
const PROGRAM = `
  const { onStopSignals } = await import(${MODULE});
  const { outliveListeners } = await import(${STREAMS});
  outliveListeners();
  onStopSignals((signal) => process.exit(signal === 'SIGHUP' ? 7 : 8));
  setInterval(() => {}, 1000);
  console.log('listening');`;
const COMMAND = [process.execPath, ...loaderArguments(), '--input-type=module', '-e', PROGRAM];

/** Runs its arguments at a terminal of their own, closes that when they have written something, and ends as they do. */
const AT_A_TERMINAL = `
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0: os.execv(sys.argv[1], sys.argv[1:])
os.read(terminal, 100)
os.close(terminal)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))`;

test('a program that was started without a terminal goes on after SIGHUP, and stops on SIGTERM', async () => {
  const program = startProgram(COMMAND[0]!, COMMAND.slice(1));
  await program.untilOutput(/listening/);
  program.child.kill('SIGHUP');
  assert.deepEqual(await program.stop('SIGTERM'), { code: 8, signal: null });
});

test('a program whose terminal is closed is asked to stop, and ends as it wishes', async () => {
  const child = spawn('python3', ['-c', AT_A_TERMINAL, ...COMMAND], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  assert.equal(await new Promise((resolve) => child.once('close', resolve)), 7);
});
