// A worker that was meant to use a GPU and cannot never becomes a CPU worker unasked: it ends with one sentence that has the
// library's reason. With stubs of nvidia-smi and of the driver, since no test machine needs a GPU.

import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { assertNothingLeft, freePort, startTypeScript } from '../support/processes.ts';

const MAIN = fileURLToPath(new URL('../../worker/main.ts', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-device-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** A PATH on which nvidia-smi lists these lines. */
function withNvidiaSmi(lines: string): Record<string, string> {
  const bin = mkdtempSync(join(folder, 'bin-'));
  const program = join(bin, 'nvidia-smi');
  writeFileSync(program, `#!/bin/sh\ncat <<'END'\n${lines}\nEND\n`);
  chmodSync(program, 0o755);
  return { PATH: [bin, process.env.PATH].join(delimiter) };
}

const LISTED = withNvidiaSmi('GPU 0: NVIDIA H200 (UUID: GPU-5c89852c-d268-c3f3-1b07-005d5ae1dc3f)');

async function startWorker(device: string, env: Readonly<Record<string, string>>) {
  const cacheDir = join(folder, 'cache');
  mkdirSync(cacheDir, { recursive: true });
  const words = ['--id', 'w', '--coordinator', `127.0.0.1:${await freePort()}`, '--cache-dir', cacheDir];
  return startTypeScript(MAIN, [...words, '--device', device], {
    // Undefined takes a variable away.
    env: { CUDA_VISIBLE_DEVICES: undefined, POCKETFLEET_TENSORFLOW: undefined, ...env },
  });
}

test('a worker that needs a GPU and has none ends with one sentence and its reason', async () => {
  const cases: [string, Record<string, string>, RegExp][] = [
    ['gpu', {}, /`device: gpu` asks for one/],
    ['auto', LISTED, /nvidia-smi lists NVIDIA H200/],
    ['auto', { ...LISTED, CUDA_VISIBLE_DEVICES: '0' }, /nvidia-smi lists NVIDIA H200/],
  ];
  for (const [device, env, asked] of cases) {
    const worker = await startWorker(device, env);
    assert.deepEqual(await worker.ended, { code: 1, signal: null }, worker.output());
    const sentences = worker.output().match(/^worker: .*$/gm) ?? [];
    assert.equal(sentences.length, 1, worker.output());
    assert.match(sentences[0]!, /TensorFlow uses no GPU/);
    assert.match(sentences[0]!, asked);
    assert.match(sentences[0]!, /CPU build is installed|Could not load|cuInit|no GPU/);
    assert.match(sentences[0]!, /--device cpu/);
    assert.doesNotMatch(worker.output(), /\n {4}at /);
    await assertNothingLeft([worker.pid], []);
  }
});

test('a worker computes on the CPU where it is told to, and where all GPUs are hidden', async () => {
  for (const [device, env] of [
    ['cpu', LISTED],
    ['auto', { ...LISTED, CUDA_VISIBLE_DEVICES: '' }],
    ['auto', { ...LISTED, POCKETFLEET_TENSORFLOW: 'cpu' }],
  ] as const) {
    const worker = await startWorker(device, env);
    await worker.untilOutput(/"device proved"/, 60_000);
    assert.match(worker.output(), /"deviceClass":"cpu\//);
    assert.match(worker.output(), /"ranOn":"[^"]*device:CPU:0"/);
    await worker.stop();
    await assertNothingLeft([worker.pid], []);
  }
});
