// What becomes of slices of a process's timeline. Decides what of a slice has not been counted yet, and what is
// counted for a process that is gone: what it last reported, and up to its end as lost what it did not.

import { addSeconds, sliceAfter, type TimeEntry, type TimeSlice } from '../../core/worker-time.ts';
import type { EventOf } from '../model/events.ts';
import { lookup } from '../model/persistent-map.ts';
import type { LossCause, WorkerState } from '../model/state.ts';
import { type Draft, emit } from './draft.ts';

/**
 * A coordinator that nobody replaced for so long was stopped with its fleet: a worker that does not come back
 * after its start did not live through that time.
 */
const OUTAGE_MS = 300_000;

/** Counts what is new of a slice. */
export function countSlice(
  draft: Draft,
  { workerId, incarnation, slice }: { workerId: string; incarnation: string; slice: TimeSlice },
): void {
  const account = lookup(draft.state.time.workers, workerId);
  if (account === undefined || account.incarnation !== incarnation) return;
  const fresh = sliceAfter(slice, account.until);
  if (fresh === undefined) return;
  const { until } = fresh;
  emit(draft, { kind: 'worker.spent', workerId, incarnation, until, entries: fresh.entries.map(rounded) });
}

/** What the event of a loss has of the time of the process that is lost. */
export function endOfTime(
  draft: Draft,
  worker: WorkerState,
  cause: LossCause,
): Pick<EventOf<'worker.lost'>, 'goneAtMs' | 'spent'> {
  const { id: workerId, incarnation } = worker;
  const { time } = draft.state;
  const { now } = draft.context;
  const account = lookup(time.workers, workerId);
  if (account === undefined || account.incarnation !== incarnation) return {};
  const open = draft.context.openTimeOf?.(workerId, incarnation);
  const reported = open && sliceAfter(open, account.until);
  const until = reported?.until ?? account.until;
  const reportedToMs = account.startedAtMs + 1000 * until;
  const { beforeStartMs } = time.fleet;
  const wasStopped = cause === 'not_back' && now - beforeStartMs > OUTAGE_MS;
  const goneAtMs = wasStopped ? Math.min(now, Math.max(beforeStartMs, reportedToMs)) : now;
  const silent = Math.max(0, (goneAtMs - reportedToMs) / 1000);
  const entries = [...(reported?.entries ?? []), ...(silent > 0 ? unreported(worker, cause, silent) : [])];
  return {
    ...(goneAtMs < now ? { goneAtMs } : {}),
    ...(entries.length === 0 ? {} : { spent: { until: until + silent, entries: entries.map(rounded) } }),
  };
}

/** A worker that was sent away has nothing to lose; otherwise it is lost to the runs that it held. */
function unreported({ runs }: WorkerState, cause: LossCause, seconds: number): TimeEntry[] {
  if (cause === 'drained') return [{ seconds: { idle: seconds } }];
  if (runs.length === 0) return [{ seconds: { lost: seconds } }];
  return runs.map((number) => ({ runId: `run-${number}`, seconds: { lost: seconds / runs.length } }));
}

/** To microseconds: the journal need not have more digits. */
function rounded({ seconds, ...of }: TimeEntry): TimeEntry {
  const exact = Object.entries(addSeconds({}, seconds)).filter(([, value]) => value !== 0);
  return {
    ...of,
    seconds: Object.fromEntries(exact.map(([phase, value]) => [phase, Math.round(value * 1e6) / 1e6])),
  };
}
