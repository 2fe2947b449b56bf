// All looks at data sets of one program. Decides that the same set is looked at once however many ask for it,
// and that a look is given up when nobody waits for it any more or when it has made no progress for long.

import { availableParallelism } from 'node:os';
import { every, systemClock } from '../../clock.ts';
import { createDeferred, type Deferred } from '../../deferred.ts';
import { FleetError } from '../../errors.ts';
import { createSharedWork, type Waiter } from '../../shared-work.ts';
import { canonicalJson } from '../../spec/canonical-json.ts';
import type { DataSpec } from '../../spec/data.ts';
import { ANYWHERE, type Roots } from '../../system/file-access.ts';
import type { DataProgress } from '../progress-pace.ts';
import type { CheckReport } from './check-path.ts';
import type { InspectRequest } from './inspect-process.ts';
import { type Inspection, inspectDrawn } from './inspection.ts';
import { createInspectionProcesses, type LookEnd } from './inspection-processes.ts';
import { decideLooks, type LookLimits } from './look-order.ts';

export interface Inspections {
  /**
   * What submit needs to know of a set. Rejected as cancelled when the signal is aborted; the look goes on
   * for other callers.
   */
  set(data: DataSpec, waiter?: Waiter<DataProgress>): Promise<Inspection>;
  /** Every image of what lies at a path. */
  path(path: string, waiter?: Waiter<DataProgress>): Promise<CheckReport>;
  /** Ends what is in hand. */
  close(): Promise<void>;
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
  readonly request: InspectRequest;
  readonly onProgress: (progress: DataProgress) => void;
  readonly result: Deferred<unknown>;
  /** Ends its process; undefined while it waits for its turn. */
  end: (() => void) | undefined;
  progressMs: number | undefined;
}

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
  const looks = new Set<Look>();
  const shared = createSharedWork<unknown, DataProgress>(limits);
  let stopTimer: (() => void) | undefined;

  const settle = (look: Look, end: (result: Deferred<unknown>) => void) => {
    if (!looks.delete(look)) return;
    end(look.result);
    next();
  };
  const giveUp = (look: Look, error: unknown) => {
    look.end?.();
    settle(look, (result) => result.reject(error));
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
        look.onProgress(progress);
      },
      end: (end) =>
        settle(look, (result) => {
          if (end.kind === 'inspected') result.resolve(end.result);
          else result.reject(failureOf(look.request, end));
        }),
    });
    look.end = begun.end;
  };
  /** Starts what may start, and gives up what stands still; then what waited behind it is decided anew. */
  const next = () => {
    const { standing, starting } = decideLooks([...looks], systemClock.monotonic(), limits);
    for (const look of standing) giveUp(look, standsStill(look.request, limits.givenUpAfterMs));
    if (standing.length === 0) for (const look of starting) start(look);
    if (looks.size > 0) stopTimer ??= every(Math.min(250, limits.idleAfterMs), next);
    else {
      stopTimer?.();
      stopTimer = undefined;
    }
  };
  const ask = async <T>(request: InspectRequest, waiter: Waiter<DataProgress>): Promise<T> => {
    const key = canonicalJson(request);
    if (!shared.has(key) && shared.size >= limits.openMax) throw tooMany(request, shared.size);
    return shared.join(key, waiter, {
      gone: () => new FleetError('cancelled', `${subject(request)}: nobody waits for it any more`),
      begin(onProgress, signal) {
        const result = createDeferred<unknown>();
        const look: Look = { request, onProgress, result, end: undefined, progressMs: undefined };
        signal.addEventListener('abort', () => giveUp(look, signal.reason), { once: true });
        looks.add(look);
        next();
        return result.promise;
      },
    }) as Promise<T>;
  };

  return {
    // All that there is to know of drawn faces is in the spec.
    set: async (data, waiter = {}) =>
      data.kind === 'synthetic' ? inspectDrawn(data) : ask({ kind: 'set', data }, waiter),
    path: (path, waiter = {}) => ask({ kind: 'path', path }, waiter),
    async close() {
      shared.close(new FleetError('cancelled', 'the program is stopping'));
      await processes.close();
    },
  };
}

function failureOf(request: InspectRequest, end: Exclude<LookEnd, { kind: 'inspected' }>): FleetError {
  if (end.kind === 'failed') return new FleetError(end.code, end.message, { details: { ...end.details } });
  return new FleetError(
    'internal',
    `${subject(request)}: the process that looks at it ended with ${end.how}; it may have run out of memory`,
  );
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

function tooMany(request: InspectRequest, open: number): FleetError {
  return new FleetError(
    'resourceExhausted',
    `${subject(request)}: ${open} data sets are being looked at, the limit; try again later`,
  );
}
