// All looks at data sets of one program. Decides that the same set is looked at once however many ask, how many are in hand at once,
// and when one is given up: when nobody waits for it any more, or when it has shown no progress for long. There is no deadline: a large
// set takes the time that it takes. One that makes no progress, as on a file system that is away, takes no place from others.

import type { ChildProcess } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { after, every, systemClock } from '../../clock.ts';
import { FleetError } from '../../errors.ts';
import { canonicalJson } from '../../spec/canonical-json.ts';
import type { DataSpec } from '../../spec/data.ts';
import { startChild } from '../../system/child-process.ts';
import { ANYWHERE, type Roots } from '../../system/file-access.ts';
import type { DataProgress } from '../progress-pace.ts';
import type { CheckReport } from './check-path.ts';
import { type Inspection, inspectData } from './inspect.ts';
import type { InspectJob, InspectMessage, InspectRequest } from './inspect-process.ts';

export interface Inspections {
  /** What submit needs to know of a set. Rejected as cancelled when the signal is aborted; the look goes on for others who wait. */
  set(data: DataSpec, waiter?: Waiter): Promise<Inspection>;
  /** Every image of what lies at a path. */
  path(path: string, waiter?: Waiter): Promise<CheckReport>;
  /** Ends what is in hand. */
  close(): Promise<void>;
}

export interface Waiter {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: DataProgress) => void) | undefined;
}

export interface InspectionLimits {
  /** Looks that make progress at once; each takes up to 200 MB. */
  readonly atOnce: number;
  /** After so long without progress a look takes no place from others, milliseconds. */
  readonly idleAfterMs: number;
  /** After so long without progress it is given up, milliseconds. */
  readonly givenUpAfterMs: number;
  /** Looks in hand or waiting; one more is refused. */
  readonly openMax: number;
  /** A look that nobody waits for goes on this long, so that whoever asks again after a deadline joins it, milliseconds. */
  readonly lingerMs: number;
  /** A process without work is kept this long for the next look, milliseconds. */
  readonly keptMs: number;
}

const LIMITS: InspectionLimits = {
  atOnce: 2,
  idleAfterMs: 3_000,
  givenUpAfterMs: 300_000,
  openMax: 64,
  lingerMs: 10_000,
  keptMs: 20_000,
};
/** JavaScript heap of the process, MiB: the names of some millions of files. */
const HEAP_MIB = 1024;
/** A process that hangs in the kernel may outlive SIGKILL; nobody waits longer for it. */
const CLOSE_MS = 1_000;

interface Look {
  readonly key: string;
  readonly request: InspectRequest;
  readonly waiters: Set<{ readonly waiter: Waiter; settle(result: Result): void }>;
  child: ChildProcess | undefined;
  progressMs: number;
  /** Ends it, when nobody waits for it. */
  stopLingering: (() => void) | undefined;
}

type Result = { readonly value: unknown } | { readonly error: FleetError };

/** `lanes`: images in hand at once in each look; `roots`: folders beneath which files may be read, none: everywhere. */
export function createInspections(options: {
  readonly cacheDir: string;
  readonly lanes?: number;
  readonly roots?: Roots;
  readonly limits?: Partial<InspectionLimits>;
}): Inspections {
  const limits = { ...LIMITS, ...options.limits };
  const lanes = options.lanes ?? Math.max(1, Math.min(8, Math.floor(availableParallelism() / 2)));
  const looks = new Map<string, Look>();
  const idle = new Map<ChildProcess, () => void>();
  const living = new Set<ChildProcess>();
  let stopTimer: (() => void) | undefined;
  let closed = false;

  const settle = (look: Look, result: Result) => {
    if (looks.get(look.key) !== look) return;
    looks.delete(look.key);
    look.stopLingering?.();
    for (const waiter of look.waiters) waiter.settle(result);
    next();
  };
  const giveUp = (look: Look, error: FleetError) => {
    look.child?.kill('SIGKILL');
    look.child = undefined;
    settle(look, { error });
  };
  const take = (look: Look, child: ChildProcess, message: InspectMessage) => {
    if (look.child !== child) return;
    look.progressMs = systemClock.monotonic();
    if (message.kind === 'progress') {
      for (const { waiter } of look.waiters) waiter.onProgress?.(message.progress);
      return;
    }
    child.removeAllListeners('message');
    look.child = undefined;
    keep(child);
    settle(
      look,
      message.kind === 'inspected'
        ? { value: message.result }
        : { error: new FleetError(message.code, message.message, { details: { ...message.details } }) },
    );
  };
  const keep = (child: ChildProcess) => {
    if (closed || !child.connected) return void child.kill('SIGKILL');
    // A process without work holds up nobody who wants to end.
    child.unref();
    child.channel?.unref();
    idle.set(
      child,
      after(limits.keptMs, () => child.kill('SIGKILL'), { holdsProcess: false }),
    );
  };
  const childFor = (): ChildProcess => {
    for (const [child, stopKeeping] of idle) {
      stopKeeping();
      idle.delete(child);
      child.ref();
      child.channel?.ref();
      return child;
    }
    const child = startChild(new URL('./inspect-process.ts', import.meta.url), {
      heapMiB: HEAP_MIB,
      environment: { UV_THREADPOOL_SIZE: String(lanes) },
    });
    living.add(child);
    const ended = (how: string) => {
      living.delete(child);
      idle.get(child)?.();
      idle.delete(child);
      for (const look of looks.values())
        if (look.child === child)
          settle(look, {
            error: new FleetError(
              'internal',
              `${subject(look.request)}: the process that looks at it ended with ${how}; it may have run out of memory`,
            ),
          });
    };
    child.once('exit', (code, signal) => ended(signal ?? `code ${code}`));
    child.once('error', (caught) => ended(caught.message));
    return child;
  };
  const start = (look: Look) => {
    const child = childFor();
    look.child = child;
    look.progressMs = systemClock.monotonic();
    child.on('message', (message: InspectMessage) => take(look, child, message));
    child.send({
      request: look.request,
      cacheDir: options.cacheDir,
      lanes,
      roots: options.roots ?? ANYWHERE,
    } satisfies InspectJob);
  };
  /** Starts what may start, and gives up what stands still. */
  const next = () => {
    const now = systemClock.monotonic();
    for (const look of looks.values())
      if (look.child !== undefined && now - look.progressMs > limits.givenUpAfterMs)
        giveUp(look, standsStill(look.request, limits.givenUpAfterMs));
    const open = [...looks.values()];
    let moving = open.filter(
      (look) => look.child !== undefined && now - look.progressMs < limits.idleAfterMs,
    ).length;
    for (const look of open) {
      if (look.child !== undefined || moving >= limits.atOnce) continue;
      start(look);
      moving += 1;
    }
    if (looks.size > 0) stopTimer ??= every(Math.min(250, limits.idleAfterMs), next);
    else {
      stopTimer?.();
      stopTimer = undefined;
    }
  };

  const ask = <T>(request: InspectRequest, waiter: Waiter): Promise<T> =>
    new Promise<T>((resolve, reject) => {
      const { signal } = waiter;
      const gone = () => new FleetError('cancelled', `${subject(request)}: nobody waits for it any more`);
      if (closed || signal?.aborted) return reject(gone());
      const key = canonicalJson(request);
      const known = looks.get(key);
      if (known === undefined && looks.size >= limits.openMax)
        return reject(
          new FleetError(
            'resourceExhausted',
            `${subject(request)}: ${looks.size} data sets are being looked at, the limit; try again later`,
          ),
        );
      const look: Look = known ?? {
        key,
        request,
        waiters: new Set(),
        child: undefined,
        progressMs: 0,
        stopLingering: undefined,
      };
      look.stopLingering?.();
      looks.set(key, look);
      const entry = {
        waiter,
        settle(result: Result) {
          look.waiters.delete(entry);
          signal?.removeEventListener('abort', leave);
          if ('error' in result) reject(result.error);
          else resolve(result.value as T);
        },
      };
      const leave = () => {
        entry.settle({ error: gone() });
        if (look.waiters.size === 0) look.stopLingering = after(limits.lingerMs, () => giveUp(look, gone()));
      };
      signal?.addEventListener('abort', leave, { once: true });
      look.waiters.add(entry);
      next();
    });

  return {
    // Drawn faces are no files: all that there is to know of them stands in the spec.
    set: (data, waiter = {}) =>
      data.kind === 'synthetic' ? inspectData(data) : ask({ kind: 'set', data }, waiter),
    path: (path, waiter = {}) => ask({ kind: 'path', path }, waiter),
    async close() {
      closed = true;
      for (const look of looks.values())
        giveUp(look, new FleetError('cancelled', `${subject(look.request)}: the program is stopping`));
      const ended = [...living].map(
        (child) => new Promise<void>((resolve) => void child.once('exit', () => resolve())),
      );
      for (const child of living) child.kill('SIGKILL');
      let stopWaiting: (() => void) | undefined;
      await Promise.race([
        Promise.all(ended),
        new Promise<void>((resolve) => {
          stopWaiting = after(CLOSE_MS, resolve);
        }),
      ]);
      stopWaiting?.();
      for (const child of living) child.unref();
    },
  };
}

const subject = (request: InspectRequest): string =>
  request.kind === 'path'
    ? request.path
    : `data.path: ${request.data.kind === 'synthetic' ? 'drawn faces' : request.data.path}`;

function standsStill(request: InspectRequest, ms: number): FleetError {
  return new FleetError(
    'unavailable',
    `${subject(request)}: nothing was read for ${Math.round(ms / 1000)} s; does its file system answer?`,
  );
}
