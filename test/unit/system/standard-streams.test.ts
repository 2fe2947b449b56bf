// Programs whose listener is lost: real processes that write to a pipe whose reader has ended and to a full device.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { openSync } from 'node:fs';
import { test } from 'node:test';
import { loaderArguments } from '../../../core/system/script-arguments.ts';

const LOG = JSON.stringify(new URL('../../../core/log.ts', import.meta.url).href);
const STREAMS = JSON.stringify(new URL('../../../core/system/standard-streams.ts', import.meta.url).href);

/** Logs and warns on stderr until nothing of it can be written, and then still answers on stdout. */
const PROGRAM = `
  const { createLogger } = await import(${LOG});
  const { outliveListeners } = await import(${STREAMS});
  outliveListeners();
  const log = createLogger({ program: 'test', level: 'info' });
  process.stdin.resume();
  process.stdin.once('end', async () => {
    for (let i = 0; i < 20; i++) {
      log.info('x'.repeat(100_000));
      process.stderr.write('talk\\n');
      console.warn('a warning of a library');
      await new Promise((resolve) => setImmediate(resolve));
    }
    process.stdout.write('worked to its end ' + (process.memoryUsage().arrayBuffers < 64 << 20));
  });`;

async function run(stderr: 'pipe' | number): Promise<{ code: number | null; out: string }> {
  const child = spawn(process.execPath, [...loaderArguments(), '--input-type=module', '-e', PROGRAM], {
    stdio: ['pipe', 'pipe', stderr],
  });
  let out = '';
  child.stdout!.on('data', (chunk) => {
    out += chunk;
  });
  child.stderr?.destroy();
  child.stdin!.end();
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, out };
}

test('a program goes on when the reader of its log has ended', async () => {
  assert.deepEqual(await run('pipe'), { code: 0, out: 'worked to its end true' });
});

test('a program goes on when the disk under its log is full', async () => {
  assert.deepEqual(await run(openSync('/dev/full', 'w')), { code: 0, out: 'worked to its end true' });
});
