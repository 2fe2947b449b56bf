// Reports that must not get lost: they are numbered and kept until the coordinator acknowledges them. Decides
// the numbers and which reports are open. The queue needs no bound of its own: a run makes a few reports, so
// a long absence of the coordinator costs little memory.

import type { WorkerReport } from '../../proto/gen/pocketfleet/v1/worker.ts';
import type { ReportKind } from '../run/services.ts';

export interface ReportQueue {
  /** Number of the next report, from 1 within one incarnation of the worker. */
  readonly next: number;
  /** Reports that are not acknowledged, oldest first. */
  readonly open: readonly WorkerReport[];
}

export const emptyQueue: ReportQueue = { next: 1, open: [] };

export function enqueue(
  queue: ReportQueue,
  kind: ReportKind,
): { readonly queue: ReportQueue; readonly report: WorkerReport } {
  const report = { sequence: queue.next, kind };
  return { queue: { next: queue.next + 1, open: [...queue.open, report] }, report };
}

/**
 * Removes one report and none before it: a report that needs the journal is acknowledged later than one that
 * does not.
 */
export function acknowledge(queue: ReportQueue, sequence: number): ReportQueue {
  return { next: queue.next, open: queue.open.filter((report) => report.sequence !== sequence) };
}
