// What follows by itself once something has changed: ends spread to children, trials end with their runs,
// sweeps propose, plans go on, and free workers get work. It looks at what the events of the decision have
// put on the agenda, and goes on until nothing more follows; each look depends on the state alone. So it does
// not matter which input came before, and a coordinator that was killed between two decisions finds its place
// again by looking at everything that is open.
//
// Placing runs comes after everything else and once for all that was decided together: it changes nothing
// that the rest depends on.

import { isBeingJudged } from '../model/halted.ts';
import { isEmbedding } from '../model/orders.ts';
import {
  endingOf,
  hasEnded,
  newestRunOf,
  ownRunIdsOf,
  planWith,
  type RunState,
  type State,
  type SweepState,
  sweepWith,
  type TrialState,
  trialWith,
  wholeRunWith,
  workerWith,
} from '../model/state.ts';
import { rowAt } from '../model/table.ts';
import { isSettled } from '../scheduling/board.ts';
import { rebalanced } from '../scheduling/placement.ts';
import { schedule } from '../scheduling/scheduler.ts';
import { takeOne } from './agenda.ts';
import { boardOf, type Draft, emit } from './draft.ts';
import { shareEmbeddings } from './embeddings.ts';
import { endRun, setGang } from './gangs.ts';
import { beginPausing, endOverduePauses, followPauses } from './pauses.ts';
import { settlePlan } from './plans.ts';
import { endedShort, missingStage, retain, studentOf } from './retaining.ts';
import { followedByTwins, reuse } from './reuse.ts';
import { lossInTheWay } from './stages.ts';
import { settleSweep } from './sweeps.ts';
import { settleTrial } from './trials.ts';

/** Decides everything that follows from the draft's events, except where runs are placed. */
export function settle(draft: Draft): void {
  const { agenda } = draft;
  for (;;) {
    const trial = takeOne(agenda.trials);
    if (trial !== undefined) {
      lookAtTrial(draft, rowAt(draft.state.trials, trial));
      continue;
    }
    const run = takeOne(agenda.runs);
    if (run !== undefined) {
      lookAtRun(draft, wholeRunWith(draft.state, `run-${run}`));
      continue;
    }
    const sweep = takeOne(agenda.sweeps);
    if (sweep !== undefined) {
      lookAtSweep(draft, rowAt(draft.state.sweeps, sweep));
      continue;
    }
    const plan = takeOne(agenda.plans);
    if (plan !== undefined) {
      lookAtPlan(draft, `plan-${plan}`);
      continue;
    }
    const teacher = takeOne(agenda.teachers);
    if (teacher !== undefined) {
      shareEmbeddings(draft, `run-${teacher}`);
      continue;
    }
    const stored = takeOne(agenda.stages);
    if (stored === undefined) return;
    retain(draft, `run-${stored}`);
  }
}

/**
 * Gives free workers to runs that wait, or to gangs that can grow. Returns whether there is more to settle with it:
 * runs have ended, because they take a result, or students may share their teacher's embeddings from now on.
 */
export function place(draft: Draft): boolean {
  let hasEnds = false;
  for (let goesOn = true; goesOn; ) {
    goesOn = false;
    for (const placement of schedule(boardOf(draft))) {
      const run = wholeRunWith(draft.state, placement.runId)!;
      const { pausesFor: forRunId, reason } = placement;
      if (forRunId !== undefined) {
        beginPausing(draft, run, { reason, forRunId });
        continue;
      }
      const isQueued = run.state === 'queued';
      if (isQueued && reuse(draft, run.id, { deviceClass: classOf(draft.state, placement.workerIds) })) {
        hasEnds ||= wholeRunWith(draft.state, run.id)?.state !== 'queued';
        // Its workers are free for others.
        goesOn = true;
        continue;
      }
      setGang(draft, run, placement);
      if (isQueued) followedByTwins(draft, run.id);
      // Its students can start now.
      goesOn ||= isQueued && run.studentRunIds.length > 0;
    }
  }
  return hasEnds || draft.agenda.teachers.size > 0;
}

const classOf = (state: State, [first]: readonly string[]): string | undefined =>
  first === undefined ? undefined : workerWith(state, first)?.deviceClass;

/** Goes on without gangs that do not store where they stand. */
export function endPauses(draft: Draft): void {
  endOverduePauses(draft, boardOf(draft).pausing);
}

/** Gangs whose shards are looked at in one beat. */
const BALANCED_AT_ONCE = 64;

/** Moves shards from slow members to fast ones; nobody joins or leaves. Some gangs a beat, in turn. */
export function balance(draft: Draft): void {
  const { wide } = boardOf(draft);
  const { desk } = draft;
  const ahead = [...wide].sort((a, b) => a - b);
  const from = ahead.findIndex((number) => number > desk.balancedUpTo);
  const turn = [...ahead.slice(Math.max(0, from)), ...ahead.slice(0, Math.max(0, from))];
  for (const number of turn.slice(0, BALANCED_AT_ONCE)) {
    desk.balancedUpTo = number;
    const run = wholeRunWith(draft.state, `run-${number}`);
    if (run === undefined || run.state !== 'running' || !isSettled(run, draft.context.connected)) continue;
    const better = rebalanced(run, draft.context);
    if (better !== undefined)
      setGang(draft, run, { ...better, workerIds: better.members.map((member) => member.workerId) });
  }
}

function lookAtTrial(draft: Draft, trial: TrialState | undefined): void {
  if (trial === undefined) return;
  if (!hasEnded(trial)) {
    settleTrial(draft, trial);
    return;
  }
  const newest = newestRunOf(trial);
  if (newest !== undefined) lookAtRun(draft, wholeRunWith(draft.state, newest));
}

function lookAtSweep(draft: Draft, sweep: SweepState | undefined): void {
  if (sweep === undefined) return;
  const plan = sweep.planId === undefined ? undefined : planWith(draft.state, sweep.planId);
  if (!hasEnded(sweep) && plan !== undefined && hasEnded(plan)) {
    const reason = endingOf(plan);
    emit(draft, { kind: 'sweep.ended', sweepId: sweep.id, state: 'cancelled', reason });
  }
  settleSweep(draft, sweep.id);
}

function lookAtPlan(draft: Draft, planId: string): void {
  const plan = planWith(draft.state, planId);
  if (plan === undefined) return;
  if (!hasEnded(plan)) {
    settlePlan(draft, planId);
    return;
  }
  if (plan.sweepId !== undefined) lookAtSweep(draft, sweepWith(draft.state, plan.sweepId));
  for (const id of ownRunIdsOf(plan)) lookAtRun(draft, wholeRunWith(draft.state, id));
}

/**
 * Ends a run that may not go on: what it belongs to has ended, or its teacher ended short of a stage that it needs. One
 * that may is paused or goes on as what it belongs to is.
 */
function lookAtRun(draft: Draft, run: RunState | undefined): void {
  if (run === undefined || hasEnded(run)) return;
  const parent = endedParent(draft.state, run);
  if (parent !== undefined)
    endRun(draft, run, { kind: 'run.cancelled', runId: run.id, reason: parent }, parent);
  else if (!failWithTeacher(draft, run) && !failWithDamage(draft, run)) {
    followPauses(draft, run);
    if (!reuse(draft, run.id)) failWithoutStage(draft, run);
  }
}

/** How the nearest parent that has ended did so, as a reason for the child; undefined while all go on. */
function endedParent(state: State, child: RunState): string | undefined {
  const parents = [
    child.trialId === undefined || isBeingJudged(state, child) ? undefined : trialWith(state, child.trialId),
    child.forTrialId === undefined ? undefined : trialWith(state, child.forTrialId),
    child.sweepId === undefined ? undefined : sweepWith(state, child.sweepId),
    child.planId === undefined ? undefined : planWith(state, child.planId),
  ];
  const ended = parents.find((parent) => parent !== undefined && hasEnded(parent));
  return ended === undefined ? undefined : endingOf(ended);
}

function failWithTeacher(draft: Draft, run: RunState): boolean {
  // An embedding run ends with its students.
  if (run.teacherRunId === undefined || isEmbedding(run)) return false;
  const teacher = wholeRunWith(draft.state, run.teacherRunId);
  const short = teacher && endedShort(teacher, studentOf(run));
  if (short === undefined) return false;
  const reason = `its teacher ${short}`;
  endRun(draft, run, { kind: 'run.failed', runId: run.id, cause: 'teacher', reason }, reason);
  return true;
}

/** A candidate of a search that was to take its results alone, and that has none. */
function failWithoutStage(draft: Draft, { id, trialId, teacherRunId }: RunState): void {
  const run = wholeRunWith(draft.state, id);
  if (trialId === undefined || teacherRunId === undefined || run?.state !== 'queued') return;
  const teacher = wholeRunWith(draft.state, teacherRunId);
  const missing = teacher && missingStage(teacher, studentOf(run));
  if (missing === undefined) return;
  const reason = `it learns from ${teacherRunId}, and ${missing}`;
  endRun(draft, run, { kind: 'run.failed', runId: id, cause: 'teacher', reason }, reason);
}

/** A stored stage that the run waits for is lost, and nothing gives it back. */
function failWithDamage(draft: Draft, run: RunState): boolean {
  const reason = lossInTheWay(draft.state, run);
  if (reason === undefined) return false;
  endRun(draft, run, { kind: 'run.failed', runId: run.id, cause: 'infrastructure', reason }, reason);
  return true;
}
