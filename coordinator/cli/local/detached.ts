// `up --detach`: a supervisor as a process of its own, and the messages between it and the command that
// started it until the fleet is ready. The command shows the supervisor's progress and the reason of a
// failure. When the command ends before the fleet is ready, the fleet ends too.

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { FleetError, toFleetError } from '../../../core/errors.ts';
import { fileFailure } from '../../../core/system/folder.ts';
import { PACKAGE_ROOT } from '../../../core/system/places.ts';
import { cliCommand } from './program-command.ts';

/** Messages of a supervisor while its fleet starts. */
type Message =
  | { readonly kind: 'progress'; readonly text: string }
  | { readonly kind: 'ready' }
  | { readonly kind: 'refused'; readonly text: string };

/** Where a detached supervisor reports. In a foreground `up` these calls do nothing. */
export interface Starter {
  say(text: string): void;
  /** Why the fleet did not start, or why it ended. */
  refused(text: string): void;
  /** The fleet is ready; from now on the supervisor does not depend on the command. */
  ready(): void;
  /** Aborted when the command that waits has gone before the fleet was ready. */
  readonly gone: AbortSignal;
}

/** The supervisor's side. */
export function starterOf(supervisor: NodeJS.Process): Starter {
  const gone = new AbortController();
  const onDisconnect = () =>
    gone.abort(new FleetError('cancelled', 'the command that started this fleet has ended'));
  supervisor.once('disconnect', onDisconnect);
  // A message to a command that has just gone is lost, which is no failure of the fleet's.
  const send = (message: Message, sent = () => {}) => {
    if (supervisor.connected) supervisor.send?.(message, undefined, undefined, sent);
  };
  // An open channel would keep this process alive when there is nothing more to do.
  const last = (message: Message) => {
    supervisor.removeListener('disconnect', onDisconnect);
    send(message, () => {
      if (supervisor.connected) supervisor.disconnect();
    });
  };
  return {
    say: (text) => send({ kind: 'progress', text }),
    refused: (text) => last({ kind: 'refused', text }),
    ready: () => last({ kind: 'ready' }),
    gone: gone.signal,
  };
}

/**
 * Starts `up` again in the background; the id of its process, when its fleet is ready. Aborting ends what has
 * started.
 */
export async function startDetached(options: {
  /** Arguments of the command line: `up` and its flags. */
  readonly args: readonly string[];
  readonly logFile: string;
  readonly signal: AbortSignal;
  say(text: string): void;
}): Promise<number> {
  const { logFile, signal } = options;
  signal.throwIfAborted();
  const log = openLog(logFile);
  const { command, args } = cliCommand();
  const child = spawn(command, [...args, ...options.args], {
    cwd: PACKAGE_ROOT,
    detached: true,
    stdio: ['ignore', log, log, 'ipc'],
  });
  closeSync(log);
  const stop = () => child.kill('SIGTERM');
  signal.addEventListener('abort', stop, { once: true });
  try {
    await readyOrEnded(child, options);
  } finally {
    signal.removeEventListener('abort', stop);
  }
  child.unref();
  return child.pid!;
}

function readyOrEnded(
  child: ChildProcess,
  {
    logFile,
    signal,
    say,
  }: { readonly logFile: string; readonly signal: AbortSignal; say(text: string): void },
): Promise<void> {
  return new Promise((done, fail) => {
    let refusal: string | undefined;
    child.on('message', (message: Message) => {
      if (message.kind === 'progress') say(message.text);
      if (message.kind === 'refused') refusal = message.text;
      if (message.kind === 'ready') done();
    });
    child.once('error', (caught) => fail(toFleetError(caught, 'the supervisor cannot be started')));
    child.once('close', (code, end) => {
      const ended = `the supervisor ended while the fleet started (${end ?? `exit code ${code}`}); the end of its log ${logFile}:`;
      const text = refusal ?? `${ended}\n  ${lastLines(logFile)}`;
      fail(signal.aborted ? signal.reason : new FleetError('failedPrecondition', text));
    });
  });
}

function openLog(logFile: string): number {
  try {
    return openSync(logFile, 'a', 0o600);
  } catch (caught) {
    throw fileFailure(caught, { path: logFile, doing: 'the log cannot be opened' });
  }
}

function lastLines(logFile: string): string {
  return readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-5).join('\n  ');
}
