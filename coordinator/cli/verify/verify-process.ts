// Starts the process that verifies a model file and reads its answer. The process' progress goes on to
// stderr. Messages of the native library are held back and shown when the process ends without an answer.

import { spawn } from 'node:child_process';
import { childEnvironment } from '../../../core/config.ts';
import { FleetError } from '../../../core/errors.ts';
import type { NetworkHint } from '../../../core/model/recognise.ts';
import type { NetworkSpec } from '../../../core/spec/network.ts';
import type { SetReport } from '../../../core/verify/report.ts';
import { readHost } from '../local/host.ts';
import { verifyFileCommand } from '../local/program-command.ts';
import { placeSingle } from '../local/worker-places.ts';
import { say } from '../screen/output.ts';

export interface FileRequest {
  readonly model: string;
  readonly hint: NetworkHint | undefined;
  readonly sets: readonly { readonly name: string; readonly path: string }[];
}

export interface FileVerification {
  readonly model: string;
  readonly network: NetworkSpec;
  /** How the network was recognised. */
  readonly reason: string;
  readonly sets: readonly SetReport[];
}

/** Lines of a broken process that are shown. */
const LAST_LINES = 12;

export async function verifyModelFile(request: FileRequest): Promise<FileVerification> {
  const { command, args } = verifyFileCommand();
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
  return parsedAnswer(answer, ended, lines);
}

function parsedAnswer(answer: string, ended: string, lines: readonly string[]): FileVerification {
  let value: (FileVerification & { error?: { code: string; message: string } }) | undefined;
  try {
    value = JSON.parse(answer);
  } catch {
    value = undefined;
  }
  if (value?.error !== undefined) throw new FleetError('invalidArgument', value.error.message);
  if (value === undefined)
    throw new FleetError(
      'internal',
      `the process that verifies ended with ${ended} and without an answer:\n${lines.slice(-LAST_LINES).join('\n')}`,
    );
  return value;
}
