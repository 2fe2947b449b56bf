// Reports that must not get lost: numbered, kept until the coordinator acknowledges them, sent again on each new stream.
// Decides numbering and what is still open; sending is link.ts'. The queue is bounded by what runs can produce: a few
// reports a run, so a long absence of the coordinator costs bytes, not memory.

import type { WorkerReport } from '../../proto/gen/pocketfleet/v1/worker.ts';
import type { ReportKind } from '../run/services.ts';

export interface ReportQueue {
  /** Sequence of the next report; counts up from 1 within one incarnation. */
  readonly next: number;
  /** Not acknowledged yet, oldest first. */
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

/** Covers this one report: what needs the journal is acknowledged later than what does not, whatever their order. */
export function acknowledge(queue: ReportQueue, sequence: number): ReportQueue {
  return { next: queue.next, open: queue.open.filter((report) => report.sequence !== sequence) };
}
