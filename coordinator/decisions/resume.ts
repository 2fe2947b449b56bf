// Continuing something that failed, was cancelled or paused, because a person asks for it. Decides what can be
// continued, and which parents, runs and students come along, so that nothing that is resumed ends again in
// the same moment for a reason that was there before. A run goes on from its newest checkpoint like one that
// has lost its gang, and so with the same bits.
//
// The rules: a thing whose parent has ended badly is resumed through that parent; what is done is never
// undone; a run whose numbers ceased to be finite is refused, because spec and seed determine every bit and
// it would fail in the same step again.

import { FleetError, toFleetError } from '../../core/errors.ts';
import { stateClaim } from '../../core/text/state-text.ts';
import { workWithId } from '../model/find.ts';
import {
  type EndedRun,
  hasEnded,
  isWhole,
  newestRunOf,
  type PlanState,
  planOf,
  planWith,
  type RunState,
  runOf,
  runWith,
  type SweepState,
  sweepOf,
  sweepWith,
  type TrialState,
  trialOf,
  trialWith,
  wholeRunWith,
} from '../model/state.ts';
import { Edit, rowsOf } from '../model/table.ts';
import { type Draft, emit } from './draft.ts';
import type { Answer } from './inputs.ts';
import { resumePaused } from './pauses.ts';
import { runsOf } from './plan.ts';
import { endedShort, studentOf } from './retaining.ts';

/**
 * Resumes a plan, sweep, trial or run with what belongs to it. Throws when it cannot go on, and then nothing
 * has changed.
 */
export function resume(
  draft: Draft,
  request: { readonly id: string; readonly reason: string },
): () => Answer {
  const { id } = request;
  const reason = request.reason === '' ? 'by request' : request.reason;
  const { state } = draft;
  const thing = workWithId(state, id);
  const { imported } = wholeRunWith(state, id)?.job ?? {};
  if (imported !== undefined && thing.state !== 'done')
    throw refuse(
      `${id} gets its stages from files and is never trained; submit the text that imports ${imported.from} again`,
    );
  const isPaused = resumePaused(draft, { id, reason });
  if (isPaused !== undefined) return isPaused;
  assertEndedBadly(thing);
  const resumed = new Set<string>();
  const go = { draft, reason, resumed };
  if (planWith(state, id)) resumePlan(go, planOf(state, id));
  else if (sweepWith(state, id)) resumeSweep(go, sweepOf(state, id));
  else if (trialWith(state, id)) resumeTrial(go, trialOf(state, id));
  else resumeRunOf(go, runWith(state, id)!);
  return () => ({ kind: 'resumed', ids: [...resumed] });
}

/** A resumption under way. */
interface Going {
  readonly draft: Draft;
  readonly reason: string;
  /** Ids of what goes on again. */
  readonly resumed: Set<string>;
}

const refuse = (why: string) => new FleetError('failedPrecondition', why);

function assertEndedBadly(thing: { readonly id: string; readonly state: string }): void {
  if (thing.state === 'done') throw refuse(`${thing.id} is done: there is nothing to resume`);
  if (!hasEnded(thing)) throw refuse(`${thing.id} ${stateClaim(thing.state)}: there is nothing to resume`);
}

/**
 * A run by itself, or with the whole that it belongs to: a plan or sweep goes on with all of its parts or
 * ends again.
 */
function resumeRunOf(go: Going, run: RunState | EndedRun): void {
  const { state } = go.draft;
  const trialId = run.trialId ?? (isWhole(run) ? run.forTrialId : undefined);
  if (trialId !== undefined) resumeTrial(go, trialOf(state, trialId));
  else if (!isWhole(run)) throw refuse(`${run.id} belongs to a trial that is done`);
  else if (run.planId !== undefined && hasEnded(planOf(state, run.planId)))
    resumePlan(go, planOf(state, run.planId));
  else resumeRun(go, run);
}

function resumePlan(go: Going, plan: PlanState): void {
  assertEndedBadly(plan);
  const runs = runsOf(go.draft.state, plan).filter(
    (run) => run.state === 'failed' || run.state === 'cancelled',
  );
  for (const run of runs) assertNotNumeric(run);
  emitResumed(go, plan.id, { planId: plan.id });
  // Candidates of its search may learn from its teacher, which goes on first.
  for (const run of runs) resumeRun(go, run);
  const sweep = plan.sweepId === undefined ? undefined : sweepOf(go.draft.state, plan.sweepId);
  if (sweep !== undefined && hasEnded(sweep) && sweep.state !== 'done') resumeSweep(go, sweep);
}

/**
 * Resumes a sweep with those of its trials that can go on; one whose numbers ceased to be finite has had its
 * result.
 */
function resumeSweep(go: Going, sweep: SweepState): void {
  assertEndedBadly(sweep);
  const { state } = go.draft;
  const trials = [...rowsOf(sweep.endedBadly)]
    .map(([number]) => trialOf(state, `trial-${number}`))
    .filter((trial) => newestRun(go, trial)?.failureCause !== 'numeric');
  if (trials.length === 0 && sweep.trialsProposed >= sweep.trialsTotal)
    throw refuse(
      `${sweep.id} has no trial left: all ${sweep.trialsTotal} were tried and ended in ways that another try would repeat (${sweep.reason}); submit it with other settings`,
    );
  if (sweep.planId !== undefined && hasEnded(planOf(state, sweep.planId)) && !go.resumed.has(sweep.planId)) {
    resumePlan(go, planOf(state, sweep.planId));
    return;
  }
  emitResumed(go, sweep.id, { sweepId: sweep.id });
  for (const trial of trials) continueTrial(go, trial);
}

function resumeTrial(go: Going, trial: TrialState): void {
  assertEndedBadly(trial);
  const sweep = sweepOf(go.draft.state, trial.sweepId);
  const run = newestRun(go, trial);
  if (run !== undefined) assertNotNumeric(run);
  if (sweep.state === 'done')
    throw refuse(`${trial.id} belongs to ${sweep.id}, which is done without it; submit its network as a run`);
  if (hasEnded(sweep)) resumeSweep(go, sweep);
  else continueTrial(go, trial);
}

function continueTrial(go: Going, trial: TrialState): void {
  emitResumed(go, trial.id, { trialId: trial.id });
  const run = newestRun(go, trial);
  // One whose newest run is done, or that has none, gets what is missing as any other trial.
  if (run !== undefined && (run.state === 'failed' || run.state === 'cancelled')) resumeRun(go, run);
}

function newestRun(go: Going, trial: TrialState): RunState | undefined {
  const id = newestRunOf(trial);
  return id === undefined ? undefined : runOf(go.draft.state, id);
}

/** The run, and its students that failed with it. */
function resumeRun(go: Going, run: RunState): void {
  if (go.resumed.has(run.id)) return;
  assertEndedBadly(run);
  assertNotNumeric(run);
  const teacher = run.teacherRunId === undefined ? undefined : runOf(go.draft.state, run.teacherRunId);
  const short = teacher && endedShort(teacher, studentOf(run));
  if (teacher !== undefined && short !== undefined)
    throw refuse(`the teacher of ${run.id}, ${short}; resume ${teacher.id}, and its students go on with it`);
  emitResumed(go, run.id, { runId: run.id });
  for (const id of run.studentRunIds) {
    const student = wholeRunWith(go.draft.state, id);
    if (student?.failureCause !== 'teacher') continue;
    // One of a plan that goes on anyway follows in its turn.
    const goesOn = student.planId !== undefined && go.resumed.has(student.planId);
    if (!goesOn) whereItCan(go, () => resumeRunOf(go, student));
  }
}

/** A student goes on with the plan or sweep that it belongs to; where that cannot, its teacher goes on without it. */
function whereItCan({ draft, resumed }: Going, goOn: () => void): void {
  // Tables of the state that may be returned to must not change any more.
  draft.edit = new Edit();
  const before = { state: draft.state, events: draft.events.length, resumed: new Set(resumed) };
  try {
    goOn();
  } catch (caught) {
    if (toFleetError(caught).code !== 'failedPrecondition') throw caught;
    draft.edit = new Edit();
    draft.state = before.state;
    draft.events.length = before.events;
    for (const id of resumed) if (!before.resumed.has(id)) resumed.delete(id);
  }
}

/**
 * Spec and seed determine every bit: from its checkpoint it would come to the same step with the same
 * numbers.
 */
function assertNotNumeric(run: RunState): void {
  if (run.failureCause === 'numeric')
    throw refuse(
      `${run.id} failed by its numbers (${run.reason}); the same spec and seed would give them again: submit it with other settings, for instance a lower training.optimizer.learningRate`,
    );
}

function emitResumed(
  { draft, reason, resumed }: Going,
  id: string,
  what: {
    readonly planId?: string;
    readonly sweepId?: string;
    readonly trialId?: string;
    readonly runId?: string;
  },
): void {
  resumed.add(id);
  emit(draft, { kind: 'work.resumed', ...what, reason });
}
