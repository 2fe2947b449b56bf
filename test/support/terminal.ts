// The `pocketfleet` command on a terminal of its own, made by Python's pty module. Its drawing is read as the
// bytes that a terminal receives; what a person types is written to it, Ctrl-C included.

import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loaderArguments } from '../../core/system/script-arguments.ts';
import { until } from './processes.ts';

const SCRIPT = join(import.meta.dirname, 'terminal.py');
const CLI = fileURLToPath(new URL('../../coordinator/cli/main.ts', import.meta.url));
/** A person's terminal, whatever the tests run under. */
const PERSON = { TERM: 'xterm-256color', CI: '', NO_COLOR: '' };

export interface Terminal {
  /** Bytes drawn so far, as text. */
  output(): string;
  type(text: string): void;
  /** A signal for the command itself. */
  signal(name: NodeJS.Signals): void;
  untilOutput(what: RegExp, deadlineMs?: number): Promise<void>;
  readonly ended: Promise<number | null>;
  /** Process of the command. */
  pid(): number;
  child: ChildProcess;
}

export function onTerminal(
  args: readonly string[],
  options: {
    rows?: number;
    columns?: number;
    env?: Record<string, string>;
    /** Another TypeScript program than the command. */
    program?: string;
  } = {},
): Terminal {
  const { rows = 24, columns = 80 } = options;
  const node = [process.execPath, ...loaderArguments(), options.program ?? CLI, ...args];
  const child = spawn('python3', [SCRIPT, String(rows), String(columns), ...node], {
    env: { ...process.env, ...PERSON, ...options.env },
  });
  let output = '';
  let talk = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    output += chunk;
  });
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    talk += chunk;
  });
  const pid = () => Number.parseInt(talk, 10);
  return {
    output: () => output,
    type: (text) => void child.stdin.write(text),
    signal: (name) => void process.kill(pid(), name),
    untilOutput: async (what, deadlineMs = 60_000) => {
      await until(`${what} on the terminal`, () => what.test(output), deadlineMs).catch((caught: Error) => {
        throw new Error(`${caught.message}; it showed ${JSON.stringify(output)} ${talk}`);
      });
    },
    ended: new Promise((resolve) => child.once('close', resolve)),
    pid,
    child,
  };
}
