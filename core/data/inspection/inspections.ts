// All looks at data sets of one program. Decides that the same set is looked at once however many ask for it,
// and that a look is given up when nobody waits for it any more or when it has made no progress for long.

import { availableParallelism } from 'node:os';
import { after, every, systemClock } from '../../clock.ts';
import { FleetError } from '../../errors.ts';
import { canonicalJson } from '../../spec/canonical-json.ts';
import type { DataSpec } from '../../spec/data.ts';
import { ANYWHERE, type Roots } from '../../system/file-access.ts';
import type { DataProgress } from '../progress-pace.ts';
import type { CheckReport } from './check-path.ts';
import { type Inspection, inspectData } from './inspect.ts';
import type { InspectRequest } from './inspect-process.ts';
import { createInspectionProcesses, type LookEnd } from './inspection-processes.ts';
import { decideLooks, type LookLimits } from './look-order.ts';

export interface Inspections {
  /**
   * What submit needs to know of a set. Rejected as cancelled when the signal is aborted; the look goes on
   * for other callers.
   */
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

export interface InspectionLimits extends LookLimits {
  /** Looks in hand or waiting; one more is refused. */
  readonly openMax: number;
  /**
   * A look without callers goes on this long, milliseconds, so that a caller who asks again after a deadline
   * joins it.
   */
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

interface Look {
  readonly key: string;
  readonly request: InspectRequest;
  readonly waiters: Set<{ readonly waiter: Waiter; settle(result: Result): void }>;
  /** Ends its process; undefined while it waits for its turn. */
  end: (() => void) | undefined;
  progressMs: number | undefined;
  /** Keeps a look without callers from being given up; undefined while it has callers. */
  stopLingering: (() => void) | undefined;
}

type Result = { readonly value: unknown } | { readonly error: FleetError };

/**
 * `lanes`: images in hand at once in each look; `roots`: folders beneath which files may be read, none:
 * everywhere.
 */
export function createInspections(options: {
  readonly cacheDir: string;
  readonly lanes?: number;
  readonly roots?: Roots;
  readonly limits?: Partial<InspectionLimits>;
}): Inspections {
  const limits = { ...LIMITS, ...options.limits };
  const lanes = options.lanes ?? Math.max(1, Math.min(8, Math.floor(availableParallelism() / 2)));
  const processes = createInspectionProcesses({ lanes, keptMs: limits.keptMs });
  const looks = new Map<string, Look>();
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
    look.end?.();
    settle(look, { error });
  };
  const start = (look: Look) => {
    look.progressMs = systemClock.monotonic();
    const job = {
      request: look.request,
      cacheDir: options.cacheDir,
      lanes,
      roots: options.roots ?? ANYWHERE,
    };
    const begun = processes.start(job, {
      progress(progress) {
        look.progressMs = systemClock.monotonic();
        for (const { waiter } of look.waiters) waiter.onProgress?.(progress);
      },
      end: (end) => settle(look, resultOf(look.request, end)),
    });
    look.end = begun.end;
  };
  /** Starts what may start, and gives up what stands still; then what waited behind it is decided anew. */
  const next = () => {
    const { standing, starting } = decideLooks([...looks.values()], systemClock.monotonic(), limits);
    for (const look of standing) giveUp(look, standsStill(look.request, limits.givenUpAfterMs));
    if (standing.length === 0) for (const look of starting) start(look);
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
      if (known === undefined && looks.size >= limits.openMax) return reject(tooMany(request, looks.size));
      const look = known ?? newLook(key, request);
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
    // All that there is to know of drawn faces is in the spec.
    set: (data, waiter = {}) =>
      data.kind === 'synthetic' ? inspectData(data) : ask({ kind: 'set', data }, waiter),
    path: (path, waiter = {}) => ask({ kind: 'path', path }, waiter),
    async close() {
      closed = true;
      for (const look of looks.values())
        giveUp(look, new FleetError('cancelled', `${subject(look.request)}: the program is stopping`));
      await processes.close();
    },
  };
}

function resultOf(request: InspectRequest, end: LookEnd): Result {
  switch (end.kind) {
    case 'inspected':
      return { value: end.result };
    case 'failed':
      return { error: new FleetError(end.code, end.message, { details: { ...end.details } }) };
    case 'ended':
      return {
        error: new FleetError(
          'internal',
          `${subject(request)}: the process that looks at it ended with ${end.how}; it may have run out of memory`,
        ),
      };
  }
}

const newLook = (key: string, request: InspectRequest): Look => ({
  key,
  request,
  waiters: new Set(),
  end: undefined,
  progressMs: undefined,
  stopLingering: undefined,
});

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

function tooMany(request: InspectRequest, open: number): FleetError {
  return new FleetError(
    'resourceExhausted',
    `${subject(request)}: ${open} data sets are being looked at, the limit; try again later`,
  );
}
