// What events do to what is paused and to priorities: of a run by itself, or of a plan, sweep or trial, whose runs
// follow by decisions of their own.

import { forgive, shareOf, unstoredAt } from './accounts.ts';
import type { EventOf } from './events.ts';
import { noLongerPlaced } from './evolve-runs.ts';
import { changePlan, changeRun, changeSweep, changeTrial, optional, type Working } from './folding.ts';
import {
  hasEnded,
  newestRunOf,
  numberOf,
  ownRunIdsOf,
  planOf,
  runOf,
  sweepOf,
  trialOf,
  trialWith,
  wholeRunWith,
} from './state.ts';
import { rowsOf, withRow } from './table.ts';

/** The gang stores where it stands. */
export function runPausing(w: Working, event: EventOf<'run.pausing'>): void {
  const { runId, forRunId, reason, atMs: sinceMs } = event;
  changeRun(w, runId, {
    state: 'pausing',
    reason,
    pausing: { sinceMs, reason, ...optional('forRunId', forRunId) },
    ...(forRunId === undefined ? {} : { preemptedAtMs: sinceMs }),
  });
}

/** The run has no gang any more; it keeps its age. */
export function runPaused(w: Working, event: EventOf<'run.paused'>): void {
  const { runId, step, isHeld, reason, stored, workerId, atMs } = event;
  const run = runOf(w, runId);
  noLongerPlaced(w, runId);
  changeRun(w, runId, {
    state: isHeld ? 'paused' : 'queued',
    reason,
    gang: [],
    changedAtMs: atMs,
    queuedAtMs: atMs,
    ...(stored === undefined
      ? {}
      : { pausedStep: { step, bytes: stored.bytes, digest: stored.digest, storedAtMs: atMs } }),
  });
  // Nobody has said where it stands: the steps since the newest checkpoint are computed again.
  if (workerId === undefined) forgive(w, shareOf(w, run), unstoredAt(run, atMs));
}

/** The state within a stage is gone. */
export function stepDropped(w: Working, { runId, step }: EventOf<'step.dropped'>): void {
  const run = wholeRunWith(w, runId);
  if (run?.pausedStep?.step !== step) return;
  const { pausedStep: _dropped, ...rest } = run;
  w.runs = withRow(w.runs, numberOf(runId), rest, w.edit);
}

/** Nothing of it is trained until it is resumed. */
export function workPaused(w: Working, event: EventOf<'work.paused'>): void {
  const { planId, sweepId, trialId, runId, reason } = event;
  const change = { state: 'paused' as const, reason };
  if (planId !== undefined) changePlan(w, planId, change);
  if (sweepId !== undefined) changeSweep(w, sweepId, change);
  if (trialId !== undefined) changeTrial(w, trialId, change);
  if (runId !== undefined) changeRun(w, runId, { isHeld: true });
}

/** What has not ended, and what is made later, has this priority. */
export function workPrioritised(w: Working, event: EventOf<'work.prioritised'>): void {
  const { planId, sweepId, trialId, runId, priority } = event;
  if (planId !== undefined) {
    changePlan(w, planId, { priority });
    const plan = planOf(w, planId);
    if (plan.sweepId !== undefined) ofSweep(w, plan.sweepId, priority);
    for (const id of ownRunIdsOf(plan)) ofRun(w, id, priority);
  }
  if (sweepId !== undefined) ofSweep(w, sweepId, priority);
  if (trialId !== undefined) ofTrial(w, trialId, priority);
  if (runId !== undefined) ofRun(w, runId, priority);
}

function ofSweep(w: Working, id: string, priority: number): void {
  if (hasEnded(sweepOf(w, id))) return;
  changeSweep(w, id, { priority });
  for (const [number] of [...rowsOf(sweepOf(w, id).openTrials)]) ofTrial(w, `trial-${number}`, priority);
}

function ofTrial(w: Working, id: string, priority: number): void {
  if (trialWith(w, id) === undefined || hasEnded(trialOf(w, id))) return;
  changeTrial(w, id, { priority });
  const newest = newestRunOf(trialOf(w, id));
  if (newest !== undefined) ofRun(w, newest, priority);
}

function ofRun(w: Working, id: string, priority: number): void {
  const { agedPriority, ...run } = runOf(w, id);
  if (hasEnded(run)) return;
  // What waiting had given it ends where somebody decides anew.
  if (agedPriority !== undefined) w.runs = withRow(w.runs, numberOf(id), run, w.edit);
  changeRun(w, id, { priority });
}
