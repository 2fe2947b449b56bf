// Keeps one child process alive: starts it, and starts it again with a growing delay when it dies. Stopping
// sends SIGTERM first and SIGKILL last. Nothing here depends on which program the child runs.

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { after, systemClock } from '../../../core/clock.ts';
import { childEnvironment } from '../../../core/config.ts';
import { type Backoff, delayMs } from '../../../core/retry.ts';
import { fileFailure } from '../../../core/system/folder.ts';

export interface ChildSpec {
  /** For logs and messages, e.g. worker-1. */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  /** Variables on top of this process's environment. */
  readonly env: Readonly<Record<string, string>>;
  /** stdout and stderr are appended here. */
  readonly logFile: string;
}

export interface Supervised {
  readonly name: string;
  readonly logFile: string;
  /** Undefined between a death and the next start, and after stop. */
  pid(): number | undefined;
  /**
   * How often it has died since it was started first, however long it lived: a GPU's proof may take longer
   * than a healthy stretch.
   */
  deaths(): number;
  /** Why it died last, for a person; empty when it never did. */
  lastEnd(): string;
  /** SIGTERM, SIGTERM again (programs drain on the first), SIGKILL; resolves when the process is gone. */
  stop(times: StopTimes): Promise<void>;
  /** SIGKILL at once, without waiting: the last resort when this process itself has to go. */
  kill(): void;
}

export interface StopTimes {
  /** From the first SIGTERM to the second, milliseconds. */
  readonly againMs: number;
  /** From the first SIGTERM to SIGKILL, milliseconds. */
  readonly killMs: number;
}

/** Milliseconds after which a child counts as healthy: its next death is the first in a row again. */
const HEALTHY_MS = 20_000;

/** Delay before the start that follows the nth death in a row: 250 ms, doubled each time, at most 10 s. */
export const restartDelayMs = (failures: number): number => delayMs(RESTART, failures);
const RESTART: Backoff = { firstMs: 250, maxMs: 10_000, jitter: 0 };

export function supervise(spec: ChildSpec, tell: { changed(): void; say(text: string): void }): Supervised {
  let child: ChildProcess | undefined;
  let deaths = 0;
  let failures = 0;
  let startedAt = 0;
  let lastEnd = '';
  let cancelStart: (() => void) | undefined;
  let stopped = false;
  let gone: (() => void) | undefined;

  function start(): void {
    cancelStart = undefined;
    startedAt = systemClock.monotonic();
    const log = openLog();
    const started = spawn(spec.command, spec.args, {
      cwd: spec.cwd,
      env: childEnvironment(spec.env),
      stdio: ['ignore', log ?? 'ignore', log ?? 'ignore'],
      // A group of its own: Ctrl-C in the terminal reaches the supervisor alone, which then ends things in
      // order.
      detached: true,
    });
    if (log !== undefined) closeSync(log);
    child = started;
    started.once('error', (error) => ended(started, `cannot be started (${error.message})`));
    started.once('exit', (code, signal) =>
      ended(started, signal ? `killed by ${signal}` : `exited with ${code}`),
    );
    tell.changed();
  }

  /** A log that cannot be written is ignored, because the child works without it. */
  function openLog(): number | undefined {
    try {
      return openSync(spec.logFile, 'a', 0o600);
    } catch (caught) {
      const { message } = fileFailure(caught, { path: spec.logFile, doing: 'the log cannot be opened' });
      tell.say(`${message}; ${spec.name} is started without it`);
      return undefined;
    }
  }

  function ended(which: ChildProcess, reason: string): void {
    if (child !== which) return;
    child = undefined;
    lastEnd = reason;
    if (stopped) {
      gone?.();
      tell.changed();
      return;
    }
    deaths += 1;
    failures = systemClock.monotonic() - startedAt >= HEALTHY_MS ? 1 : failures + 1;
    const delay = restartDelayMs(failures);
    tell.say(`${spec.name} ${reason}; starting it again in ${delay} ms (log: ${spec.logFile})`);
    cancelStart = after(delay, start);
    tell.changed();
  }

  function signal(name: NodeJS.Signals): void {
    // A child that could not be started has no pid; one that has just ended is reported by its exit event.
    child?.kill(name);
  }

  start();
  return {
    name: spec.name,
    logFile: spec.logFile,
    pid: () => child?.pid,
    deaths: () => deaths,
    lastEnd: () => lastEnd,
    kill: () => {
      stopped = true;
      cancelStart?.();
      signal('SIGKILL');
    },
    stop: async (times) => {
      stopped = true;
      cancelStart?.();
      if (child === undefined) return;
      const end = new Promise<void>((resolve) => {
        gone = resolve;
      });
      signal('SIGTERM');
      const stopAgain = after(times.againMs, () => signal('SIGTERM'));
      const stopKill = after(times.killMs, () => {
        tell.say(`${spec.name} does not stop; killing process ${child?.pid}`);
        signal('SIGKILL');
      });
      await end;
      stopAgain();
      stopKill();
    },
  };
}
