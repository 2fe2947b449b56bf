// What events do to the accounts of time. Decides what a slice of a process's timeline is added to, and which
// computed seconds turned out to be in vain: those of stages that no checkpoint has when the gang is gone as a
// whole, since the steps are computed again.

import { addSeconds, type PhaseSeconds, type TimeEntry } from '../../core/worker-time.ts';
import type { EventOf, TimeSpent } from './events.ts';
import type { Working } from './folding.ts';
import { lookup, withEntry, withoutEntry } from './persistent-map.ts';
import { hasEnded, isWhole, numberOf, type RunState, runWith, sweepWith } from './state.ts';
import { rowAt, withoutRow, withRow } from './table.ts';
import {
  NO_ACCOUNT,
  type RunAccount,
  type TimeAccount,
  type TimeAccounts,
  type WorkerAccount,
} from './time-accounts.ts';

/** A coordinator begins to lead. `lastMs`: of the event before. */
export function noteStart(w: Working, lastMs: number): void {
  change(w, { fleet: { ...w.time.fleet, beforeStartMs: lastMs } });
}

/** A process of a worker is there; one that was lost and comes back goes on with its account. */
export function openWorkerAccount(w: Working, event: EventOf<'worker.attached'>): void {
  const { workerId, incarnation, atMs, startedAtMs = atMs } = event;
  const before = lookup(w.time.workers, workerId);
  if (before?.incarnation === incarnation) return;
  const { seconds = {}, wallSeconds = 0 } = before ?? {};
  const fresh = { incarnation, startedAtMs, until: 0, walledToMs: startedAtMs };
  changeWorker(w, workerId, { seconds, wallSeconds, ...fresh });
}

/** The process is gone. */
export function closeWorkerAccount(w: Working, event: EventOf<'worker.lost'>): void {
  const { workerId, atMs, goneAtMs = atMs } = event;
  if (event.spent !== undefined) timeSpent(w, { ...event, ...event.spent });
  const account = lookup(w.time.workers, workerId);
  if (account === undefined || account.incarnation !== event.incarnation) return;
  const seconds = Math.max(0, goneAtMs - account.walledToMs) / 1000;
  const walledToMs = Math.max(goneAtMs, account.walledToMs);
  changeWorker(w, workerId, { ...account, wallSeconds: account.wallSeconds + seconds, walledToMs });
  change(w, { fleet: { ...w.time.fleet, wallSeconds: w.time.fleet.wallSeconds + seconds } });
}

/** A worker is not remembered any more; the fleet's account keeps its part. */
export function forgetWorkerAccount(w: Working, workerId: string): void {
  change(w, { workers: withoutEntry(w.time.workers, workerId, w.edit) });
}

/** A slice of a process's timeline. */
export function timeSpent(
  w: Working,
  event: TimeSpent & { readonly workerId: string; readonly incarnation: string },
): void {
  const { workerId, until, entries } = event;
  const account = lookup(w.time.workers, workerId);
  if (account === undefined || account.incarnation !== event.incarnation) return;
  const all = entries.reduce<PhaseSeconds>((sum, { seconds }) => addSeconds(sum, seconds), {});
  changeWorker(w, workerId, { ...account, until, seconds: addSeconds(account.seconds, all) });
  const { fleet } = w.time;
  change(w, { fleet: { ...fleet, seconds: addSeconds(fleet.seconds, all) } });
  for (const entry of entries) if (entry.runId !== undefined) takeEntry(w, entry.runId, entry);
}

function takeEntry(w: Working, runId: string, { stage = 0, seconds }: TimeEntry): void {
  const run = runWith(w, runId);
  // What was removed has no account; the fleet's has it.
  if (run === undefined) return;
  const unstored = rowAt(w.time.runs, numberOf(runId))?.unstored ?? [];
  addTo(w, runId, { seconds, repeated: 0 });
  const computed = seconds.compute ?? 0;
  if (stage === 0 || computed === 0 || !isWhole(run) || hasEnded(run) || stage <= newestStage(run)) return;
  // Reported after a pause, whose step is stored.
  if (run.gang.length === 0 && run.pausedStep !== undefined) return;
  // Reported after the gang was lost: nobody has these steps any more.
  if (run.gang.length === 0) {
    addTo(w, runId, { seconds: {}, repeated: computed });
    return;
  }
  const known = unstored.find(([of]) => of === stage)?.[1] ?? 0;
  const others = unstored.filter(([of]) => of !== stage);
  changeRunAccount(w, runId, { unstored: [...others, [stage, known + computed]] });
}

const newestStage = (run: RunState): number => run.checkpoints.at(-1)?.stage ?? 0;

/** Everything up to this stage is stored. */
export function timeStored(w: Working, runId: string, stage: number): void {
  const unstored = rowAt(w.time.runs, numberOf(runId))?.unstored;
  if (unstored === undefined) return;
  changeRunAccount(w, runId, { unstored: unstored.filter(([of]) => of > stage) });
}

/** Nobody has the run's state of after its newest checkpoint any more: the steps since are computed again. */
export function timeRepeated(w: Working, runId: string): void {
  const unstored = rowAt(w.time.runs, numberOf(runId))?.unstored ?? [];
  const repeated = unstored.reduce((sum, [, seconds]) => sum + seconds, 0);
  if (repeated === 0) return;
  addTo(w, runId, { seconds: {}, repeated });
  changeRunAccount(w, runId, { unstored: [] });
}

/** A thing is removed, and its account with it. */
export function forgetAccount(w: Working, of: 'plans' | 'sweeps' | 'runs', number: number): void {
  const rows = withoutRow<RunAccount>(w.time[of], number, w.edit);
  change(w, { [of]: rows });
}

/** Adds to a run's account and to those of what it belongs to; the fleet has the seconds already. */
function addTo(w: Working, runId: string, more: TimeAccount): void {
  const run = runWith(w, runId)!;
  const { fleet, runs, sweeps, plans } = w.time;
  if (more.repeated > 0) change(w, { fleet: { ...fleet, repeated: fleet.repeated + more.repeated } });
  const number = numberOf(runId);
  change(w, { runs: withRow(runs, number, withMore(rowAt(runs, number), more), w.edit) });
  const sweep = run.sweepId === undefined ? undefined : sweepWith(w, run.sweepId);
  if (sweep !== undefined) {
    const place = numberOf(sweep.id);
    change(w, { sweeps: withRow(sweeps, place, withMore(rowAt(sweeps, place), more), w.edit) });
  }
  const planId = sweep?.planId ?? (isWhole(run) ? run.planId : undefined);
  if (planId === undefined) return;
  const place = numberOf(planId);
  change(w, { plans: withRow(plans, place, withMore(rowAt(plans, place), more), w.edit) });
}

function withMore<A extends TimeAccount>(account: A | undefined, { seconds, repeated }: TimeAccount): A {
  const before = account ?? (NO_ACCOUNT as A);
  return {
    ...before,
    seconds: addSeconds(before.seconds, seconds),
    repeated: before.repeated + repeated,
  };
}

function changeRunAccount(w: Working, runId: string, by: Partial<RunAccount>): void {
  const number = numberOf(runId);
  const { unstored, ...rest } = { ...(rowAt(w.time.runs, number) ?? NO_ACCOUNT), ...by } as RunAccount;
  const account = unstored === undefined || unstored.length === 0 ? rest : { ...rest, unstored };
  change(w, { runs: withRow(w.time.runs, number, account, w.edit) });
}

function changeWorker(w: Working, workerId: string, account: WorkerAccount): void {
  change(w, { workers: withEntry(w.time.workers, workerId, account, w.edit) });
}

function change(w: Working, by: Partial<TimeAccounts>): void {
  w.time = { ...w.time, ...by };
}
