// Starts a process that computes with TensorFlow and reads its answer. The process' progress goes on to stderr. Messages
// of the native library are held back and shown when the process ends without an answer.

import { spawn } from 'node:child_process';
import { childEnvironment } from '../../../core/config.ts';
import { FleetError } from '../../../core/errors.ts';
import { readHost } from '../local/host.ts';
import type { ProgramCommand } from '../local/program-command.ts';
import { placeSingle } from '../local/worker-places.ts';
import { say } from '../screen/output.ts';

/** Lines of a broken process that are shown. */
const LAST_LINES = 12;

/** The answer of a process to a request; its refusal as an error. `what`: what it does, after "the process that". */
export async function computed<Answer extends object>(
  { command, args }: ProgramCommand,
  request: object,
  what: string,
): Promise<Answer> {
  const child = spawn(command, [...args], {
    env: childEnvironment({ ...placeSingle(readHost()), TF_CPP_MIN_LOG_LEVEL: '2' }),
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const lines: string[] = [];
  let answer = '';
  let rest = '';
  child.stdout.on('data', (chunk: Buffer) => {
    answer += chunk.toString('utf8');
  });
  child.stderr.on('data', (chunk: Buffer) => {
    const parts = (rest + chunk.toString('utf8')).split('\n');
    rest = parts.pop() ?? '';
    for (const line of parts) {
      if (/^\S+: \d+ of \d+ images$/.test(line)) say(line);
      else lines.push(line);
    }
  });
  // A process that ends before it has read the request reports the reason on stderr; the broken pipe adds
  // nothing.
  child.stdin.on('error', () => undefined);
  child.stdin.end(JSON.stringify(request));
  const ended = await new Promise<string>((done, fail) => {
    child.once('error', fail);
    child.once('close', (code, signal) => done(signal ?? `exit code ${code}`));
  });
  const value = parsed<Answer>(answer);
  if (value === undefined)
    throw new FleetError(
      'internal',
      `the process that ${what} ended with ${ended} and without an answer:\n${lines.slice(-LAST_LINES).join('\n')}`,
    );
  if ('error' in value) throw new FleetError('invalidArgument', value.error.message);
  return value;
}

type Refusal = { readonly error: { readonly code: string; readonly message: string } };

function parsed<Answer extends object>(text: string): Answer | Refusal | undefined {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
