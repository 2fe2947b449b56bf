// Data sets on request: a worker looks at a set, because workers have the data and the coordinator has none.
// Decides that one look serves all who ask for the same set, that it waits while no worker is attached, and
// which machines are asked where a path is not on all of them.

import { type Inspection, inspectDrawn } from '../../core/data/inspection/inspection.ts';
import type { DataProgress } from '../../core/data/progress-pace.ts';
import { FleetError, toFleetError } from '../../core/errors.ts';
import { createSharedWork, type Waiter } from '../../core/shared-work.ts';
import { canonicalJson } from '../../core/spec/canonical-json.ts';
import type { DataSpec } from '../../core/spec/data.ts';
import type { InspectResult } from '../../proto/gen/pocketfleet/v1/worker.ts';
import type { WorkerState } from '../model/state.ts';
import { type InspectionNews, newsOf } from './inspection-news.ts';
import type { Requests } from './requests.ts';

/** Looks for callers of the service. */
export interface Inspector {
  /**
   * What submit needs to know of a set. Waits for a worker; rejected with the refusal of the worker that
   * looked, or as cancelled when the waiter has gone. The look goes on for others who wait for it, and some
   * seconds for one who comes back.
   */
  inspect(data: DataSpec, waiter?: Waiter<DataProgress>): Promise<Inspection>;
  /** Takes a part of a worker's answer; what nobody waits for any more is dropped. */
  answered(result: InspectResult): void;
  /** Gives up what is in hand. */
  close(): void;
}

/** Looks in hand or waiting; one more is refused. */
const OPEN_MAX = 64;
/** A look without callers goes on this long, milliseconds. */
const LINGER_MS = 10_000;
/** Machines that are asked for a path which others do not have. */
const HOSTS_MAX = 8;

/** What a caller sees while there is no worker to ask. */
const WAITS_FOR_WORKER = 'no worker is attached; waiting for one that looks at it';

type FileSpec = Exclude<DataSpec, { kind: 'synthetic' }>;

/** Looks go through these requests. */
export function createInspector(requests: Requests): Inspector {
  const looks = requests.kind<InspectionNews>({
    lost: (workerId) => `${workerId} was lost over the look at a data set`,
    tooSlow: 'the progress of a look is not read',
  });
  const shared = createSharedWork<Inspection, DataProgress>({ lingerMs: LINGER_MS });

  /** One look by whichever worker is free, on a machine that is none of those. */
  async function askOnce(
    data: FileSpec,
    how: {
      readonly without: readonly string[];
      readonly onAsk: (worker: WorkerState) => void;
      readonly onProgress: (progress: DataProgress) => void;
      readonly signal: AbortSignal;
    },
  ): Promise<Inspection> {
    const news = looks.ask({
      choose(free) {
        const worker = free.find(({ host }) => !how.without.includes(host));
        if (worker === undefined && how.without.length > 0) throw onNoneOf(data.path, how.without);
        if (worker !== undefined) how.onAsk(worker);
        return worker;
      },
      onWait: () => how.onProgress({ doing: WAITS_FOR_WORKER, done: 0, total: 0, unit: '' }),
      command: () => ({ kind: 'inspect', dataJson: canonicalJson(data) }),
      signal: how.signal,
      gaveUp: (workerIds, cause) =>
        new FleetError('aborted', `${workerIds.join(', ')} were lost over the look at ${data.path}`, {
          cause,
        }),
    });
    for await (const one of news)
      if (one.kind === 'progress') how.onProgress(one.progress);
      else return one.inspection;
    throw new Error('assertion: a look ended without a result');
  }

  async function look(
    data: FileSpec,
    onProgress: (progress: DataProgress) => void,
    signal: AbortSignal,
  ): Promise<Inspection> {
    const without: string[] = [];
    for (;;) {
      let host = '';
      const onAsk = (worker: WorkerState) => {
        host = worker.host;
      };
      try {
        return await askOnce(data, { without, onAsk, onProgress, signal });
      } catch (caught) {
        signal.throwIfAborted();
        const error = toFleetError(caught);
        if (error.details.absent !== true || host === '') throw error;
        without.push(host);
        if (without.length === HOSTS_MAX) throw onNoneOf(data.path, without);
      }
    }
  }

  return {
    async inspect(data, waiter = {}) {
      // All that there is to know of drawn faces is in the spec.
      if (data.kind === 'synthetic') return inspectDrawn(data);
      const key = canonicalJson(data);
      if (!shared.has(key) && shared.size >= OPEN_MAX)
        throw new FleetError(
          'resourceExhausted',
          `data.path: ${data.path}: ${OPEN_MAX} data sets are being looked at, the limit; try again later`,
        );
      return shared.join(key, waiter, {
        begin: (onProgress, signal) => look(data, onProgress, signal),
        gone: () => new FleetError('cancelled', `data.path: ${data.path}: nobody waits for it any more`),
      });
    },
    answered({ requestId, part }) {
      const news = newsOf(part);
      if (news.kind === 'refusal')
        looks.answered(requestId, { items: [], ended: true, error: news.message, as: news });
      else looks.answered(requestId, { items: [news], ended: news.kind === 'inspection', error: '' });
    },
    close: () => shared.close(new FleetError('unavailable', 'the coordinator is stopping')),
  };
}

function onNoneOf(path: string, hosts: readonly string[]): FleetError {
  return new FleetError(
    'invalidArgument',
    `data.path: ${path} is not there on ${hosts.join(', ')}; workers read it under the same path as it is named here`,
    { details: { field: 'data.path' } },
  );
}
