// What is paused: which of a plan, sweep, trial and run holds a run back, and which runs belong to one of them. Only
// the thing that somebody paused says so; its runs follow from that.

import { teacherStageFor } from '../../core/spec/distillation.ts';
import { goesOnAtRungs } from '../strategies/rungs.ts';
import { isEmbedding, sharersOf, sharingKeyOf } from './orders.ts';
import {
  hasEnded,
  newestRunOf,
  openRuns,
  ownRunIdsOf,
  planWith,
  type RunState,
  type State,
  type SweepState,
  sweepOf,
  sweepWith,
  type TrialState,
  trialWith,
  wholeRunWith,
} from './state.ts';
import { rowsOf } from './table.ts';

/** What a sweep or trial that has not ended is paused with: the first of its sweep and plan that is paused. */
export function holderOf(state: State, part: SweepState | TrialState): string | undefined {
  if (hasEnded(part)) return undefined;
  const sweep = 'sweepId' in part ? sweepWith(state, part.sweepId) : (part as SweepState);
  return [sweep?.id, sweep?.planId].find((id) => id !== part.id && isPaused(state, id));
}

/** What a sweep or trial is shown as: paused also with what it belongs to. */
export function shownState<S extends SweepState | TrialState>(
  state: State,
  part: S,
): { readonly state: S['state']; readonly reason: string } {
  const holder = part.state === 'paused' ? undefined : holderOf(state, part);
  return holder === undefined ? part : { state: 'paused', reason: `paused with ${holder}` };
}

/** What holds a run back: itself, or the first of its trial, sweep and plan that is paused; undefined: nothing. */
export function heldBy(state: State, run: RunState): string | undefined {
  if (run.isHeld) return run.id;
  for (const id of parentsOf(run)) if (isPaused(state, id)) return id;
  return undefined;
}

function parentsOf({ trialId, forTrialId, sweepId, planId }: RunState): string[] {
  return [trialId, forTrialId, sweepId, planId].filter((id) => id !== undefined);
}

/** Whether a plan, sweep or trial is paused itself. */
export function isPaused(state: State, id: string | undefined): boolean {
  if (id === undefined) return false;
  const work = planWith(state, id) ?? sweepWith(state, id) ?? trialWith(state, id);
  return work?.state === 'paused';
}

/** The runs of a plan, sweep or trial, or the run itself, that have not ended. */
export function openRunsOf(state: State, id: string): string[] {
  const plan = planWith(state, id);
  const sweep = sweepWith(state, plan?.sweepId ?? id);
  const trials = [...(sweep === undefined ? [] : rowsOf(sweep.openTrials))].map(
    ([number]) => trialWith(state, `trial-${number}`)!,
  );
  const trial = trialWith(state, id);
  const ids = [
    ...[...trials, ...(trial === undefined ? [] : [trial])].map(newestRunOf),
    ...(plan === undefined ? [] : ownRunIdsOf(plan)),
    ...(sweep === undefined ? [] : runsBeingJudged(state, sweep.id)),
    id,
  ];
  return ids.filter((one): one is string => {
    const run = one === undefined ? undefined : wholeRunWith(state, one);
    return run !== undefined && !hasEnded(run);
  });
}

/** Open runs of a sweep whose trials have a result at a stage behind which they go on. */
export function runsBeingJudged(state: State, sweepId: string): string[] {
  if (!goesOnAtRungs(sweepOf(state, sweepId).spec)) return [];
  return [...openRuns(state)].flatMap((run) =>
    run.sweepId === sweepId && trialWith(state, run.trialId ?? '')?.state === 'done' ? [run.id] : [],
  );
}

/**
 * The stage of its teacher that an open student cannot go on without and that is not stored yet; undefined when it
 * need not wait. It waits where its newest stage ended, whose checkpoint is stored.
 */
export function awaitedStage(
  state: State,
  run: RunState,
): { readonly teacher: RunState; readonly stage: number } | undefined {
  const teacher = run.teacherRunId === undefined ? undefined : wholeRunWith(state, run.teacherRunId);
  if (teacher === undefined) return undefined;
  const { training, distillation } = run.job;
  const epoch = epochOf(state, run, teacher);
  if (epoch >= training.epochs) return undefined;
  const stage = teacherStageFor({
    schedule: distillation?.schedule ?? 'multi-step',
    epoch,
    epochs: training.epochs,
    teacherStages: teacher.job.training.epochs,
  });
  return stage > (teacher.checkpoints.at(-1)?.stage ?? 0) ? { teacher, stage } : undefined;
}

/** The epoch that a student is in; of an embedding run that of the student which is farthest back. */
function epochOf(state: State, run: RunState, teacher: RunState): number {
  const newest = ({ checkpoints }: RunState) => checkpoints.at(-1)?.stage ?? 0;
  if (!isEmbedding(run)) return newest(run);
  const students = (sharersOf(state, teacher).get(sharingKeyOf(run) ?? '') ?? []).filter(
    (one) => !isEmbedding(one) && !hasEnded(one),
  );
  return students.length === 0 ? 0 : Math.min(...students.map(newest));
}

/** The paused teacher of a student that needs a further stage of it; undefined when it need not wait for one. */
export function pausedTeacherOf(state: State, run: RunState): RunState | undefined {
  const teacher = awaitedStage(state, run)?.teacher;
  return teacher?.state === 'paused' ? teacher : undefined;
}

/** The field of an event that names a thing by its noun. */
export function idFieldOf(state: State, id: string) {
  if (planWith(state, id)) return { planId: id };
  if (sweepWith(state, id)) return { sweepId: id };
  if (trialWith(state, id)) return { trialId: id };
  return { runId: id };
}
