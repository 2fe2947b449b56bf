// Why workers that may keep the embeddings of single images keep none, as they say with their leases. For people alone:
// nothing is decided by it. Volatile, as what a proof has found holds for a worker's process.

import { LRUCache } from 'lru-cache';
import { boundedText } from '../../core/text/wire-text.ts';
import type { Lease } from '../../proto/gen/pocketfleet/v1/worker.ts';
import type { Observed } from '../model/observed.ts';

/** The newest reasons. */
export interface RowRefusals {
  /** Takes what a worker says of the runs that it holds. */
  heard(workerId: string, leases: readonly Pick<Lease, 'runId' | 'rowsRefused'>[]): void;
  readonly of: NonNullable<Observed['rowsRefusedOf']>;
}

/** Runs on a worker that are kept. */
const REASONS_MAX = 10_000;

export function createRowRefusals(): RowRefusals {
  const reasons = new LRUCache<string, string>({ max: REASONS_MAX });
  const keyOf = (runId: string, workerId: string) => `${runId} ${workerId}`;
  return {
    heard(workerId, leases) {
      for (const { runId, rowsRefused = '' } of leases)
        if (rowsRefused === '') reasons.delete(keyOf(runId, workerId));
        else reasons.set(keyOf(runId, workerId), boundedText(rowsRefused));
    },
    of: (runId, workerId) => reasons.get(keyOf(runId, workerId)),
  };
}
