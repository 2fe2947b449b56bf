// What has to be looked at because something happened: an event names it, so that settling costs as much as
// has changed. Decides which event can move what. A coordinator that takes the lead puts everything open on
// the agenda, and so finds its place again wherever the one before it stopped.

import { otherTeacherOf } from '../../core/spec/plan.ts';
import { quotaOf } from '../model/accounts.ts';
import type { Event } from '../model/events.ts';
import { heldBy, openRunsOf, runsBeingJudged } from '../model/holds.ts';
import { identityOf } from '../model/identity.ts';
import { openTwins } from '../model/results.ts';
import {
  numberOf,
  planOf,
  type State,
  type SweepState,
  sweepOf,
  trialOf,
  trialWith,
  wholeRunWith,
} from '../model/state.ts';
import { rowAt, rowsOf } from '../model/table.ts';

/** Numbers of ids, each looked at once. */
export interface Agenda {
  readonly plans: Set<number>;
  readonly sweeps: Set<number>;
  readonly trials: Set<number>;
  /** Runs that may have lost what they belong to. */
  readonly runs: Set<number>;
  /** Runs about whose stored stages retention decides. */
  readonly stages: Set<number>;
  /** Teachers whose students may share embeddings, or no longer. */
  readonly teachers: Set<number>;
}

/** Nothing to look at. */
export function createAgenda(): Agenda {
  return {
    ...{ plans: new Set(), sweeps: new Set(), trials: new Set(), runs: new Set(), stages: new Set() },
    teachers: new Set(),
  };
}

/** Everything that is open. */
export function noteAll(agenda: Agenda, state: State): void {
  for (const [number] of rowsOf(state.openPlans)) agenda.plans.add(number);
  for (const [number] of rowsOf(state.openRuns)) {
    agenda.runs.add(number);
    noteTeacher(agenda, state, `run-${number}`);
  }
  for (const [number] of rowsOf(state.openSweeps)) {
    agenda.sweeps.add(number);
    for (const [trial] of rowsOf(rowAt(state.sweeps, number)!.openTrials)) agenda.trials.add(trial);
  }
}

/** What follows from this event has to be looked at; `state` is the one after it. */
export function noteEvent(agenda: Agenda, state: State, event: Event): void {
  switch (event.kind) {
    case 'coordinator.started':
    case 'scheduling.configured':
      noteAll(agenda, state);
      return;
    case 'plan.submitted':
    case 'plan.ended':
      agenda.plans.add(numberOf(event.planId));
      if (event.kind === 'plan.ended') noteOtherTeachers(agenda, state, event.planId);
      return;
    case 'sweep.submitted':
    case 'sweep.exhausted':
    case 'sweep.ended': {
      noteSweep(agenda, state, event.sweepId);
      const { teacherRunId } = sweepOf(state, event.sweepId);
      for (const id of runsBeingJudged(state, event.sweepId)) agenda.runs.add(numberOf(id));
      // Its candidates need no further stage.
      if (teacherRunId !== undefined) agenda.stages.add(numberOf(teacherRunId));
      return;
    }
    case 'candidates.scored':
      agenda.sweeps.add(numberOf(event.sweepId));
      return;
    case 'trial.ended':
      if (event.state === 'done') {
        // Earlier attempts kept nothing since this one began.
        const [newest] = trialOf(state, event.trialId).runIds.slice(-1);
        if (newest !== undefined) agenda.stages.add(numberOf(newest));
      }
      agenda.trials.add(numberOf(event.trialId));
      agenda.sweeps.add(numberOf(trialOf(state, event.trialId).sweepId));
      noteOthersOfOwner(agenda, state, sweepOf(state, trialOf(state, event.trialId).sweepId));
      return;
    case 'trial.stopped':
      for (const id of trialOf(state, event.trialId).runIds.slice(-1)) {
        agenda.stages.add(numberOf(id));
        agenda.runs.add(numberOf(id));
      }
      return;
    case 'trial.found':
    case 'trial.promoted':
      agenda.trials.add(numberOf(event.trialId));
      return;
    case 'run.created':
      if (event.planId !== undefined) agenda.plans.add(numberOf(event.planId));
      noteHeldRun(agenda, state, event.runId);
      return;
    case 'run.checkpointed':
      // A student whose teacher is paused may have to wait for it now.
      if (wholeRunWith(state, event.runId)?.teacherRunId !== undefined)
        agenda.runs.add(numberOf(event.runId));
      noteStages(agenda, state, event.runId);
      noteJudged(agenda, state, event.runId);
      return;
    case 'run.requeued':
      agenda.runs.add(numberOf(event.runId));
      noteTeacher(agenda, state, event.runId);
      noteTwins(agenda, state, event.runId);
      return;
    case 'run.assigned':
      noteTeacher(agenda, state, event.runId);
      return;
    case 'run.paused':
      noteTeacher(agenda, state, event.runId);
      noteTwins(agenda, state, event.runId);
      agenda.stages.add(numberOf(event.runId));
      for (const id of wholeRunWith(state, event.runId)?.studentRunIds ?? []) agenda.runs.add(numberOf(id));
      return;
    case 'work.paused':
      for (const id of openRunsOf(state, idOfWork(event))) agenda.runs.add(numberOf(id));
      return;
    case 'stage.released':
      noteStages(agenda, state, event.runId);
      return;
    case 'stage.lost':
      agenda.runs.add(numberOf(event.runId));
      for (const id of wholeRunWith(state, event.runId)?.studentRunIds ?? []) agenda.runs.add(numberOf(id));
      for (const id of wholeRunWith(state, event.runId)?.taughtSweepIds ?? [])
        agenda.sweeps.add(numberOf(id));
      return;
    case 'trial.attempted':
      // The attempt before it keeps nothing.
      for (const id of trialOf(state, event.trialId).runIds.slice(-2, -1)) agenda.stages.add(numberOf(id));
      noteHeldRun(agenda, state, event.runId);
      return;
    case 'run.continued':
      agenda.runs.add(numberOf(event.runId));
      return;
    case 'run.finished':
    case 'run.halted':
    case 'run.reused':
    case 'run.failed':
    case 'run.cancelled':
    case 'embedding.ended':
      noteStages(agenda, state, event.runId);
      noteTeacher(agenda, state, event.runId);
      noteEndedRun(agenda, state, event.runId);
      noteTwins(agenda, state, event.runId);
      return;
    case 'work.resumed':
      if (event.planId !== undefined) agenda.plans.add(numberOf(event.planId));
      if (event.sweepId !== undefined) noteSweep(agenda, state, event.sweepId);
      if (event.trialId !== undefined) agenda.trials.add(numberOf(event.trialId));
      if (event.runId !== undefined) agenda.runs.add(numberOf(event.runId));
      for (const id of openRunsOf(state, idOfWork(event))) agenda.runs.add(numberOf(id));
      return;
    case 'worker.attached':
    case 'worker.undrained':
    case 'worker.draining':
    case 'worker.lost':
      // A sweep without a parallelism of its own has as many trials open as there are workers.
      for (const [number] of rowsOf(state.openSweeps))
        if (rowAt(state.sweeps, number)!.spec.parallelism === 0) agenda.sweeps.add(number);
      return;
    default:
      return;
  }
}

/** An owner whose open trials are limited may open one of another sweep. */
function noteOthersOfOwner(agenda: Agenda, state: State, { owner = '' }: SweepState): void {
  if (quotaOf(state, owner)?.openTrials === undefined) return;
  for (const [number] of rowsOf(state.openSweeps))
    if ((rowAt(state.sweeps, number)!.owner ?? '') === owner) agenda.sweeps.add(number);
}

/** A student that begins, ends or stands still may change with whom embeddings are shared. */
function noteTeacher(agenda: Agenda, state: State, runId: string): void {
  const teacher = wholeRunWith(state, runId)?.teacherRunId;
  if (teacher !== undefined) agenda.teachers.add(numberOf(teacher));
}

/** Runs of the fleet from which students of a plan would have learned need to keep nothing for it any more. */
function noteOtherTeachers(agenda: Agenda, state: State, planId: string): void {
  const { spec } = planOf(state, planId);
  for (const student of spec.students) {
    const teacher = otherTeacherOf(spec, student);
    if (teacher !== undefined && wholeRunWith(state, teacher) !== undefined)
      agenda.stages.add(numberOf(teacher));
  }
}

/** A student that gets further needs less of its teacher. */
function noteStages(agenda: Agenda, state: State, runId: string): void {
  agenda.stages.add(numberOf(runId));
  const teacher = wholeRunWith(state, runId)?.teacherRunId;
  if (teacher !== undefined) agenda.stages.add(numberOf(teacher));
}

/** A trial whose run is verified on its way may have its result. */
function noteJudged(agenda: Agenda, state: State, runId: string): void {
  const run = wholeRunWith(state, runId);
  if (run?.evaluateStages !== undefined && run.trialId !== undefined)
    agenda.trials.add(numberOf(run.trialId));
}

/** A run that is made while what it belongs to is paused. */
function noteHeldRun(agenda: Agenda, state: State, runId: string): void {
  const run = wholeRunWith(state, runId);
  if (run !== undefined && heldBy(state, run) !== undefined) agenda.runs.add(numberOf(runId));
}

/** Runs that wait for the result of this one. */
function noteTwins(agenda: Agenda, state: State, runId: string): void {
  const run = wholeRunWith(state, runId);
  const identity = run && identityOf(state, run);
  if (identity === undefined) return;
  for (const twin of openTwins(state, identity))
    if (twin.twinRunId === runId) agenda.runs.add(numberOf(twin.id));
}

/** The id of what an event is about, whatever its noun. */
const idOfWork = (event: {
  readonly planId?: string;
  readonly sweepId?: string;
  readonly trialId?: string;
  readonly runId?: string;
}): string => event.planId ?? event.sweepId ?? event.trialId ?? event.runId ?? '';

function noteSweep(agenda: Agenda, state: State, sweepId: string): void {
  agenda.sweeps.add(numberOf(sweepId));
  const { planId } = sweepOf(state, sweepId);
  if (planId !== undefined) agenda.plans.add(numberOf(planId));
}

function noteEndedRun(agenda: Agenda, state: State, runId: string): void {
  const run = wholeRunWith(state, runId);
  if (run === undefined) return;
  const trialId = run.trialId ?? run.forTrialId;
  if (trialId !== undefined && trialWith(state, trialId) !== undefined) agenda.trials.add(numberOf(trialId));
  else if (run.planId !== undefined) agenda.plans.add(numberOf(run.planId));
  if (run.state === 'done') return;
  for (const id of run.studentRunIds) agenda.runs.add(numberOf(id));
  for (const id of run.taughtSweepIds ?? []) agenda.sweeps.add(numberOf(id));
}

/** Takes one number out of a set; undefined when it is empty. */
export function takeOne(set: Set<number>): number | undefined {
  for (const number of set) {
    set.delete(number);
    return number;
  }
  return undefined;
}
