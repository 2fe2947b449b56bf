// The reason why TensorFlow uses no GPU, in its own words. The library logs it at a level that workers switch
// off, so a second process repeats the proof with all messages on. Decides which of them are quoted.

import { spawn } from 'node:child_process';
import { childEnvironment } from '../../core/config.ts';
import { readAddonOrigin } from '../../core/system/addon-origin.ts';
import { scriptArguments } from '../../core/system/script-arguments.ts';

const PROOF = new URL('./prove-process.ts', import.meta.url);
/** Loading CUDA's libraries takes seconds; a driver that hangs must not delay the answer for ever. */
const PROOF_MS_MAX = 120_000;
/** At most so many messages are quoted: more would bury the first, which is the cause. */
const QUOTED_MAX = 4;
const OUTPUT_BYTES_MAX = 1 << 20;

/** One or more sentences of the library, or a sentence of ours where it logs nothing. */
export async function reasonForNoGpu(): Promise<string> {
  if (readAddonOrigin().variant === 'cpu')
    return "TensorFlow's CPU build is installed; `npm run setup` without POCKETFLEET_TENSORFLOW=cpu, on a machine with a driver, brings the GPU build";
  const { text, reason } = await repeatedProof();
  const quoted = relevantLines(text);
  const all = [...quoted, ...(reason === undefined || reason === '' ? [] : [reason])];
  return all.length > 0 ? all.join('; ') : 'TensorFlow registers no GPU and gives no reason';
}

/** The lines that name what could not be loaded or initialised, without time and place, each once. */
export function relevantLines(text: string): string[] {
  const relevant = text
    .split('\n')
    .filter((line) =>
      /could not load|cannot dlopen|skipping registering|failed call to cuInit|could not retrieve|no CUDA-capable|cuda error|not compiled|ignoring visible gpu/i.test(
        line,
      ),
    )
    .map((line) => line.replace(/^.*?\.(cc|h):\d+\]\s*/, '').trim());
  return [...new Set(relevant)].slice(0, QUOTED_MAX);
}

function repeatedProof(): Promise<{ text: string; reason: string | undefined }> {
  const child = spawn(process.execPath, scriptArguments(PROOF), {
    env: childEnvironment({
      TF_CPP_MIN_LOG_LEVEL: '0',
      TF_CPP_VMODULE: 'dso_loader=2,gpu_device=1',
    }),
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: PROOF_MS_MAX,
    killSignal: 'SIGKILL',
  });
  let text = '';
  let answer = '';
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    if (text.length < OUTPUT_BYTES_MAX) text += chunk;
  });
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    if (answer.length < OUTPUT_BYTES_MAX) answer += chunk;
  });
  return new Promise((resolve) => {
    child.once('error', (error) => resolve({ text, reason: error.message }));
    child.once('close', (code, signal) => {
      const [, reason] = /^reason (.*)$/m.exec(answer) ?? [];
      const ended = code === 0 ? undefined : `a process that repeated the proof ended with ${signal ?? code}`;
      resolve({ text, reason: reason ?? ended });
    });
  });
}
