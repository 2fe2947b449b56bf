// Which engine a worker gets that leaves the choice to the machine: on a CPU TensorFlow, on a GPU the plugin of PJRT
// where one for GPUs is installed, opens its device and computes a product rightly. A plugin and the driver beneath it
// may end the process that opens them, or never return, so the plugin is tried in a process of its own before anything
// is loaded here: the variables of the libraries depend on the engine.

import { spawn } from 'node:child_process';
import { toFleetError } from '../../core/errors.ts';
import { scriptArguments } from '../../core/system/script-arguments.ts';
import { installedFor } from '../../core/tensor/pjrt/binding.ts';
import type { EngineRequest } from './engine.ts';
import type { TrialRequest } from './plugin-device.ts';

const TRIAL = new URL('./engine-trial-process.ts', import.meta.url);
/** CUDA's libraries take seconds to load; a driver that hangs must not keep a worker for ever. */
const TRIAL_MS_MAX = 120_000;
const OUTPUT_BYTES_MAX = 1 << 16;

/** What a worker asks for where its setting may leave the engine to the machine. */
export interface EngineWish extends Omit<EngineRequest, 'wanted' | 'instead'> {
  readonly wanted: EngineRequest['wanted'] | 'auto';
}

/** The request with `auto` decided; others as they are. */
export async function decidedEngine({ wanted, ...request }: EngineWish): Promise<EngineRequest> {
  if (wanted !== 'auto') return { ...request, wanted };
  if (!request.gpu) return { ...request, wanted: 'tensorflow' };
  try {
    const plugin = installedFor(true);
    if (plugin === undefined) return { ...request, wanted: 'tensorflow' };
    const instead = await refusalOf({ plugin, request });
    return instead === undefined
      ? { ...request, wanted: 'pjrt' }
      : { ...request, wanted: 'tensorflow', instead };
  } catch (caught) {
    return { ...request, wanted: 'tensorflow', instead: toFleetError(caught).message };
  }
}

/** Why the plugin cannot compute; undefined where it can. */
export function refusalOf(
  { plugin, request: { memoryShare, devices } }: TrialRequest,
  limitMs = TRIAL_MS_MAX,
): Promise<string | undefined> {
  const told: TrialRequest = { plugin, request: { memoryShare, ...(devices && { devices }) } };
  const child = spawn(process.execPath, [...scriptArguments(TRIAL), JSON.stringify(told)], {
    stdio: ['ignore', 'pipe', 'ignore'],
    timeout: limitMs,
    killSignal: 'SIGKILL',
  });
  let answer = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    if (answer.length < OUTPUT_BYTES_MAX) answer += chunk;
  });
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, signal) => {
      if (code === 0 && answer !== '') return resolve(refusedIn(answer));
      const ended = code === 0 ? 'said nothing' : `ended with ${signal ?? code}`;
      const how = child.killed ? `did not end in ${limitMs / 1000} s` : ended;
      resolve(`a process that tried the plugin ${plugin.name} (${plugin.path}) ${how}`);
    });
  });
}

function refusedIn(answer: string): string | undefined {
  const { refused } = JSON.parse(answer) as { refused: string };
  return refused === '' ? undefined : refused;
}
