// Child processes of tests: starts them, waits for output or for their end, and proves that nothing is left.
// At the end of the test process the last resort kills by process id, never by name.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer, connect as tcpConnect } from 'node:net';
import { loaderArguments } from '../../core/system/script-arguments.ts';

export interface Program {
  readonly pid: number;
  readonly child: ChildProcess;
  /** Everything written so far to stdout and stderr, together, in order of arrival. */
  output(): string;
  /** Resolves when the output matches; rejects when the program ends first or the deadline passes. */
  untilOutput(pattern: RegExp, deadlineMs?: number): Promise<RegExpExecArray>;
  /** Resolves when the process has ended. */
  readonly ended: Promise<Ending>;
  /**
   * Sends a signal; a signal that ends processes is followed by waiting for the end (SIGKILL after the
   * deadline).
   */
  stop(signal?: NodeJS.Signals, deadlineMs?: number): Promise<Ending>;
}

export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

const living = new Set<ChildProcess>();
// A test process that crashes must not leave programs behind; a clean test has emptied the set long before.
process.on('exit', () => {
  for (const child of living) child.kill('SIGKILL');
});

export function startProgram(
  command: string,
  argv: readonly string[],
  options: { readonly env?: NodeJS.ProcessEnv; readonly cwd?: string } = {},
): Program {
  const child = spawn(command, argv, {
    env: { ...process.env, ...options.env },
    cwd: options.cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  living.add(child);
  let output = '';
  const watchers = new Set<() => void>();
  const take = (chunk: Buffer): void => {
    output += chunk.toString('utf8');
    for (const watcher of watchers) watcher();
  };
  child.stdout.on('data', take);
  child.stderr.on('data', take);
  const ended = new Promise<Ending>((resolve, reject) => {
    child.once('error', (cause) => {
      living.delete(child);
      reject(new Error(`could not start ${command}: ${cause.message}`, { cause }));
    });
    // `close` rather than `exit`: by then all output has arrived.
    child.once('close', (code, signal) => {
      living.delete(child);
      resolve({ code, signal });
      for (const watcher of watchers) watcher();
    });
  });
  ended.catch(() => {}); // Reported to whoever waits; a start that nobody waits for is seen by the test anyway.
  const program: Program = {
    pid: child.pid ?? -1,
    child,
    output: () => output,
    ended,
    async untilOutput(pattern, deadlineMs = 15_000) {
      let timer: NodeJS.Timeout | undefined;
      let watcher: (() => void) | undefined;
      try {
        return await new Promise<RegExpExecArray>((resolve, reject) => {
          watcher = () => {
            const match = pattern.exec(output);
            if (match !== null) resolve(match);
            else if (child.exitCode !== null || child.signalCode !== null)
              reject(new Error(`${command} ended before ${pattern}; it said:\n${output}`));
          };
          watchers.add(watcher);
          timer = setTimeout(
            () => reject(new Error(`no ${pattern} within ${deadlineMs} ms; ${command} said:\n${output}`)),
            deadlineMs,
          );
          ended.catch(reject);
          watcher();
        });
      } finally {
        clearTimeout(timer);
        if (watcher !== undefined) watchers.delete(watcher);
      }
    },
    async stop(signal = 'SIGTERM', deadlineMs = 10_000) {
      child.kill(signal);
      const timer = setTimeout(() => child.kill('SIGKILL'), deadlineMs);
      try {
        return await ended;
      } finally {
        clearTimeout(timer);
      }
    },
  };
  return program;
}

/** A TypeScript program of this repository, started as users' commands start it. */
export function startTypeScript(
  file: string,
  argv: readonly string[] = [],
  options: { readonly env?: NodeJS.ProcessEnv; readonly cwd?: string } = {},
): Program {
  return startProgram(process.execPath, [...loaderArguments(), file, ...argv], {
    ...options,
    env: { TF_CPP_MIN_LOG_LEVEL: '2', ...options.env },
  });
}

/** A loopback port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  await new Promise<void>((resolve) => server.close(() => resolve()));
  assert(address !== null && typeof address === 'object');
  return address.port;
}

/**
 * Waits for a condition with a deadline; the condition is asked again a few milliseconds after each refusal.
 */
export async function until<T>(
  what: string,
  condition: () => T | undefined | false | Promise<T | undefined | false>,
  deadlineMs = 10_000,
): Promise<T> {
  const end = performance.now() + deadlineMs;
  for (;;) {
    const value = await condition();
    if (value !== undefined && value !== false) return value as T;
    if (performance.now() > end) throw new Error(`waited ${deadlineMs} ms in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/**
 * SIGSTOP waits until the program stands still, SIGCONT returns at once; any other waits for the end, and
 * kills after `deadlineMs`.
 */
export async function deliver(
  program: Program,
  signal: NodeJS.Signals,
  deadlineMs?: number,
): Promise<Ending | undefined> {
  if (signal === 'SIGSTOP') await freeze(program);
  else if (signal === 'SIGCONT') program.child.kill(signal);
  else return program.stop(signal, deadlineMs);
  return undefined;
}

/**
 * Stops a program without ending it; resolves when every thread of it stands still. The signal alone only
 * asks for that: a thread that runs on another core may yet read its socket and answer.
 */
async function freeze({ child, pid }: Program): Promise<void> {
  child.kill('SIGSTOP');
  const stands = (thread: string): boolean => {
    try {
      return /^State:\s+T/m.test(readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8'));
    } catch {
      return false; // It ended since the list was read; the next look does not find it.
    }
  };
  await until(`process ${pid} stands still`, () => readdirSync(`/proc/${pid}/task`).every(stands));
}

export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (caught) {
    if ((caught as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw caught;
  }
}

/** True when something answers on the loopback port. */
export function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = tcpConnect({ port, host: '127.0.0.1' });
    const finish = (answer: boolean) => () => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', finish(true));
    socket.once('error', finish(false));
  });
}

/**
 * Fails when one of the processes still runs or one of the ports is still served shortly after the end of a
 * test.
 */
export async function assertNothingLeft(pids: readonly number[], ports: readonly number[]): Promise<void> {
  const left = async (): Promise<string[]> => [
    ...pids.filter(isRunning).map((pid) => `process ${pid}`),
    ...(
      await Promise.all(ports.map(async (port) => ((await isListening(port)) ? [`port ${port}`] : [])))
    ).flat(),
  ];
  let found = await left();
  const end = performance.now() + 3000;
  while (found.length > 0 && performance.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    found = await left();
  }
  assert.deepEqual(found, [], 'something was left running');
}
