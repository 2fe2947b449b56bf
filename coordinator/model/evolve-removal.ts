// What `work.removed` does: a thing that has ended leaves the tables with all that belongs to it. Its numbers
// are never given out again, and the journal keeps what it says of them.

import type { EventOf } from './events.ts';
import { resultForgotten } from './evolve-results.ts';
import { studentLeft } from './evolve-runs.ts';
import { forgetAccount } from './evolve-time.ts';
import { unnamed } from './find.ts';
import { changeRun, recount, trialCount, type Working } from './folding.ts';
import { allNumbers } from './roll.ts';
import {
  isWhole,
  numberOf,
  type PlanState,
  planWith,
  runWith,
  type SweepState,
  sweepWith,
  trialWith,
  wholeRunWith,
} from './state.ts';
import { withoutRow } from './table.ts';

/** A plan with its search and runs, a sweep with its trials and their runs, or a run by itself. */
export function workRemoved(w: Working, { id }: EventOf<'work.removed'>): void {
  const plan = planWith(w, id);
  const sweep = sweepWith(w, id);
  if (plan !== undefined) removePlan(w, plan);
  else if (sweep !== undefined) removeSweep(w, sweep);
  else removeRun(w, id);
}

function removePlan(w: Working, plan: PlanState): void {
  const sweep = plan.sweepId === undefined ? undefined : sweepWith(w, plan.sweepId);
  if (sweep !== undefined) removeSweep(w, sweep);
  // Students before their teacher, on which what they compute depends.
  for (const number of [...allNumbers(plan.allRunIds)].reverse()) removeRun(w, `run-${number}`);
  recount(w, `plan ${plan.state}`, undefined);
  w.names = unnamed(w.names, { noun: 'plan', ...plan }, w.edit);
  forgetAccount(w, 'plans', numberOf(plan.id));
  w.plans = withoutRow(w.plans, numberOf(plan.id), w.edit);
}

function removeSweep(w: Working, sweep: SweepState): void {
  for (const number of allNumbers(sweep.allRunIds)) removeRun(w, `run-${number}`);
  for (const number of allNumbers(sweep.trialIds)) {
    const trial = trialWith(w, `trial-${number}`);
    if (trial !== undefined) recount(w, trialCount(trial.state), undefined);
    w.trials = withoutRow(w.trials, number, w.edit);
  }
  const teacher = sweep.teacherRunId === undefined ? undefined : wholeRunWith(w, sweep.teacherRunId);
  if (teacher !== undefined)
    changeRun(w, teacher.id, {
      taughtSweepIds: (teacher.taughtSweepIds ?? []).filter((taught) => taught !== sweep.id),
    });
  recount(w, `sweep ${sweep.state}`, undefined);
  w.names = unnamed(w.names, { noun: 'sweep', ...sweep }, w.edit);
  forgetAccount(w, 'sweeps', numberOf(sweep.id));
  w.sweeps = withoutRow(w.sweeps, numberOf(sweep.id), w.edit);
}

function removeRun(w: Working, id: string): void {
  const run = runWith(w, id);
  if (run === undefined) return;
  recount(w, `run ${isWhole(run) ? run.job.kind : 'candidate'} ${run.state}`, undefined);
  if (isWhole(run)) {
    // Candidates are found by the name of their sweep.
    if (run.trialId === undefined) w.names = unnamed(w.names, { noun: 'run', ...run }, w.edit);
    studentLeft(w, run);
  }
  const origin = isWhole(run) && run.reused !== undefined ? wholeRunWith(w, run.reused.runId) : undefined;
  if (origin !== undefined)
    changeRun(w, origin.id, { takerRunIds: (origin.takerRunIds ?? []).filter((taker) => taker !== id) });
  forgetAccount(w, 'runs', numberOf(id));
  resultForgotten(w, run);
  w.runs = withoutRow(w.runs, numberOf(id), w.edit);
}
