// The `pocketfleet` command as a user runs it: a process of its own, with its output and its exit code.

import { spawn } from 'node:child_process';
import { scriptArguments } from '../../core/system/script-arguments.ts';

/** What Node is started with to run the command. */
export const CLI = scriptArguments(new URL('../../coordinator/cli/main.ts', import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export function pocketfleet(args: readonly string[], cwd = process.cwd()): Promise<Ended> {
  const child = spawn(process.execPath, [...CLI, ...args], { cwd });
  let out = '';
  let err = '';
  child.stdout.on('data', (chunk) => {
    out += chunk;
  });
  child.stderr.on('data', (chunk) => {
    err += chunk;
  });
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, out, err })));
}
