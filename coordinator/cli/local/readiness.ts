// Whether the fleet that `up` starts is ready yet. Decides who is still missing, when a start has failed for
// good, and which logs explain that.

import { readFileSync } from 'node:fs';
import { systemClock } from '../../../core/clock.ts';
import { FleetError, toFleetError } from '../../../core/errors.ts';
import type { FleetClient } from '../client.ts';
import { workersOf } from '../whole-lists.ts';
import type { Supervised } from './supervise.ts';

/** Shortest time between two lines about the progress of a start, milliseconds. */
const PROGRESS_EVERY_MS = 2_000;
/**
 * Children whose logs are quoted when a start fails: the reason of the others is the same, or follows from
 * it.
 */
const QUOTED_MAX = 3;
/** Deaths of one child after which a start is given up: the cause is in the log and will not go away. */
const DEATHS_MAX = 3;

/**
 * Waits until no worker is missing. Throws, with the end of the log, when the deadline passes or one of
 * `children` keeps dying.
 */
export async function until(
  awaited: () => Promise<readonly Supervised[]>,
  children: readonly Supervised[],
  deadlineMs: number,
  signal: AbortSignal,
): Promise<void> {
  const deadline = systemClock.monotonic() + deadlineMs;
  for (;;) {
    signal.throwIfAborted();
    const absent = await awaited();
    if (absent.length === 0) return;
    const failing = children.find((child) => child.deaths() >= DEATHS_MAX);
    if (failing) throw startFailure([failing], `${failing.lastEnd()} ${failing.deaths()} times in a row`);
    if (systemClock.monotonic() > deadline)
      throw startFailure(absent, `not ready after ${deadlineMs / 1000} s`);
    await systemClock.sleep(100, signal);
  }
}

function startFailure(whose: readonly Supervised[], what: string): FleetError {
  const quoted = whose
    .slice(0, QUOTED_MAX)
    .map(({ name, logFile }) => `the end of ${name}'s log ${logFile}:\n  ${endOf(logFile)}`);
  const names = whose.map(({ name }) => name).join(', ');
  return new FleetError('failedPrecondition', `${names}: ${what}; ${quoted.join('\n')}`);
}

function endOf(logFile: string): string {
  try {
    const lines = readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-5).join('\n  ');
    return lines === '' ? '(nothing)' : lines;
  } catch (caught) {
    return `(it cannot be read: ${toFleetError(caught).message})`;
  }
}

/**
 * Names of workers without a stream to the coordinator. A worker of an earlier start of this fleet has the
 * same name in the journal and another process id, so both are compared. A coordinator that does not answer
 * yet counts all workers as absent.
 */
export async function notAttached(
  client: FleetClient,
  workers: readonly Supervised[],
): Promise<readonly Supervised[]> {
  try {
    const attached = await workersOf(client);
    const processes = new Map(attached.filter(({ connected }) => connected).map(({ id, pid }) => [id, pid]));
    return workers.filter((worker) => processes.get(worker.name) !== (worker.pid() ?? 0));
  } catch {
    return workers;
  }
}

/** Workers that do not say themselves that they are attached, at the port of their probes. */
export async function notReady(
  workers: readonly { readonly worker: Supervised; readonly port: number }[],
): Promise<readonly Supervised[]> {
  const ready = await Promise.all(
    workers.map(({ port }) =>
      fetch(`http://127.0.0.1:${port}/readyz`, { signal: AbortSignal.timeout(2_000) }).then(
        (answer) => answer.ok,
        () => false,
      ),
    ),
  );
  return workers.flatMap(({ worker }, i) => (ready[i] ? [] : [worker]));
}

/** Reports how many workers have attached, as they attach, and returns those that have not. */
export function progressOf(all: readonly Supervised[], say: (text: string) => void) {
  let said = 0;
  let saidAt = systemClock.monotonic();
  return (absent: readonly Supervised[]) => {
    const come = all.length - absent.length;
    if (come > said && absent.length > 0 && systemClock.monotonic() - saidAt >= PROGRESS_EVERY_MS) {
      say(`${come} of ${all.length} workers attached`);
      said = come;
      saidAt = systemClock.monotonic();
    }
    return absent;
  };
}
