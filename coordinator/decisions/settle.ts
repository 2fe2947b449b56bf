// What follows by itself once something has changed: ends that spread to children, trials that end with their runs, sweeps
// that propose, plans that go on, and free workers that get work. Runs until nothing more follows, so a coordinator that
// was killed between two decisions finds its place again from the state alone.

import { candidateNetwork, costsOf } from '../../core/nn/space.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import { idAt } from '../model/roll.ts';
import {
  endingOf,
  hasEnded,
  openRuns,
  planOf,
  type RunState,
  runOf,
  type State,
  type SweepState,
  sweepOf,
  type TrialState,
  trialOf,
} from '../model/state.ts';
import { lookup } from '../model/table.ts';
import { rebalanced } from '../scheduling/placement.ts';
import { isSettled } from '../scheduling/roster.ts';
import { schedule } from '../scheduling/scheduler.ts';
import { proposeRandom } from '../strategies/random.ts';
import { type Draft, emit, nextId } from './draft.ts';
import { endRun, setGang } from './gangs.ts';
import { childName, nextOfPlan } from './plan.ts';

export function settle(draft: Draft): void {
  for (let before = -1; before !== draft.events.length; ) {
    before = draft.events.length;
    endOrphans(draft);
    for (const id of draft.state.openSweepIds) settleSweep(draft, sweepOf(draft.state, id));
    for (const id of draft.state.openPlanIds) settlePlan(draft, id);
  }
  for (const placement of schedule(draft.state, draft.context).placements)
    setGang(draft, runOf(draft.state, placement.runId), placement);
  for (const run of openRuns(draft.state)) balance(draft, run);
}

/** Moves shards from slow members to fast ones; nobody joins or leaves. */
function balance(draft: Draft, run: RunState): void {
  if (!isSettled(run, draft.context.connected)) return;
  const better = rebalanced(run, draft.context);
  if (better !== undefined)
    setGang(draft, run, { ...better, workerIds: better.members.map((member) => member.workerId) });
}

/** Nothing goes on below a thing that has ended, and no student without its teacher. */
function endOrphans(draft: Draft): void {
  for (const id of draft.state.openSweepIds) {
    const plan = endedParent(draft.state, sweepOf(draft.state, id));
    if (plan !== undefined) cancelSweep(draft, id, plan);
  }
  for (const run of openRuns(draft.state)) {
    const parent = endedParent(draft.state, run);
    if (parent !== undefined)
      endRun(draft, run, { kind: 'run.cancelled', runId: run.id, reason: parent }, parent);
    else failWithTeacher(draft, run);
  }
}

/** Trials first: once the sweep has ended nobody looks at them again. */
export function cancelSweep(draft: Draft, sweepId: string, reason: string): void {
  for (const trialId of sweepOf(draft.state, sweepId).openTrialIds)
    emit(draft, { kind: 'trial.ended', trialId, state: 'cancelled', reason });
  emit(draft, { kind: 'sweep.ended', sweepId, state: 'cancelled', reason });
}

function endedParent(
  state: State,
  child: { readonly planId?: string; readonly sweepId?: string; readonly trialId?: string },
): string | undefined {
  const parents = [
    child.trialId === undefined ? undefined : trialOf(state, child.trialId),
    child.sweepId === undefined ? undefined : sweepOf(state, child.sweepId),
    child.planId === undefined ? undefined : planOf(state, child.planId),
  ];
  const ended = parents.find((parent) => parent !== undefined && hasEnded(parent));
  return ended === undefined ? undefined : endingOf(ended);
}

function failWithTeacher(draft: Draft, run: RunState): void {
  if (run.teacherRunId === undefined) return;
  const teacher = runOf(draft.state, run.teacherRunId);
  if (teacher.state !== 'failed' && teacher.state !== 'cancelled') return;
  const reason = `its teacher ${endingOf(teacher)}`;
  endRun(draft, run, { kind: 'run.failed', runId: run.id, cause: 'teacher', reason }, reason);
}

function settleSweep(draft: Draft, before: SweepState): void {
  for (const id of before.openTrialIds) settleTrial(draft, trialOf(draft.state, id));
  if (stopsFailing(draft, sweepOf(draft.state, before.id))) return;
  propose(draft, before.id);
  const sweep = sweepOf(draft.state, before.id);
  if (sweep.openTrialIds.length > 0 || sweep.trialsProposed < sweep.trialsTotal) return;
  const { bestTrialId } = sweep;
  if (bestTrialId === undefined) {
    emit(draft, {
      kind: 'sweep.ended',
      sweepId: sweep.id,
      state: 'failed',
      reason: `none of ${sweep.trialsTotal} trials finished: ${lastFailure(draft.state, sweep)}`,
    });
    return;
  }
  const best = trialOf(draft.state, bestTrialId);
  emit(draft, {
    kind: 'sweep.ended',
    sweepId: sweep.id,
    state: 'done',
    reason: `${sweep.trialsDone} of ${sweep.trialsTotal} trials done, best ${best.id} with ${(best.objective ?? 0).toFixed(4)}`,
  });
}

/** Journals of releases that had no such bound have sweeps without it. */
const FAILURES_IN_ROW_MAX = 5;

/** One cause that fails trial after trial is not the candidates': the sweep ends with it, instead of all its trials. */
function stopsFailing(draft: Draft, sweep: SweepState): boolean {
  const { cause, count } = sweep.failuresInRow;
  const countMax = (sweep.spec.failuresInRowMax as number | undefined) ?? FAILURES_IN_ROW_MAX;
  // With nothing left to try it ends as ever, with what it has.
  if (count < countMax || (sweep.trialsProposed >= sweep.trialsTotal && sweep.openTrialIds.length === 0))
    return false;
  const untried = sweep.trialsTotal - sweep.trialsProposed;
  const last = lastFailure(draft.state, sweep, (trial) => trial.state === 'failed');
  const reason = `${count} trials in a row failed for one cause (${cause}), the last: ${last}; ${untried} of ${sweep.trialsTotal} trials were not begun. When the cause is mended, \`pocketfleet resume ${sweep.id}\` goes on`;
  for (const trialId of sweep.openTrialIds)
    emit(draft, {
      kind: 'trial.ended',
      trialId,
      state: 'cancelled',
      reason: `${sweep.id} stopped: ${cause}`,
    });
  emit(draft, { kind: 'sweep.ended', sweepId: sweep.id, state: 'failed', reason });
  return true;
}

/** How the newest trial of this kind ended. */
function lastFailure(
  state: State,
  sweep: SweepState,
  isMeant: (trial: TrialState) => boolean = () => true,
): string {
  for (let number = sweep.trialIds.size; number >= 1; number--) {
    const trial = trialOf(state, idAt(sweep.trialIds, number));
    if (isMeant(trial)) return endingOf(trial);
  }
  return sweep.reason;
}

/** A trial ends with its newest run, or tries again. */
function settleTrial(draft: Draft, trial: TrialState): void {
  const runId = trial.runIds.at(-1);
  if (runId === undefined) {
    createAttempt(draft, trial, 'first attempt');
    return;
  }
  const run = runOf(draft.state, runId);
  const end = (state: 'done' | 'failed' | 'cancelled', reason: string, objective?: number) =>
    emit(draft, {
      kind: 'trial.ended',
      trialId: trial.id,
      state,
      reason,
      ...(objective === undefined ? {} : { objective }),
    });
  if (run.state === 'cancelled') end('cancelled', `its run ${endingOf(run)}`);
  if (run.state === 'done') {
    const accuracy = run.evaluation?.accuracy;
    if (accuracy === undefined || !Number.isFinite(accuracy))
      end('failed', `its run ${run.id} finished without a verification accuracy`);
    else end('done', `accuracy ${accuracy.toFixed(4)}`, accuracy);
  }
  if (run.state !== 'failed') return;
  const { attemptsMax } = sweepOf(draft.state, trial.sweepId).spec;
  const attempts = trial.runIds.length;
  // A crash has had its tries: another seed computes the same kernels.
  if (run.failureCause === 'user' || run.failureCause === 'crash' || attempts >= attemptsMax)
    end('failed', `${run.reason} (attempt ${attempts} of ${attemptsMax})`);
  else createAttempt(draft, trial, `attempt ${attempts + 1} of ${attemptsMax}, after: ${run.reason}`);
}

/** A run is determined by its spec and seed: another try needs another seed, or it would fail in the same step again. */
function createAttempt(draft: Draft, trial: TrialState, reason: string): void {
  const sweep = sweepOf(draft.state, trial.sweepId);
  const { training, verification } = sweep.spec.evaluation;
  const seed = (training.seed + trial.runIds.length) >>> 0;
  const spec: RunSpec = {
    kind: 'candidate',
    name: childName(sweep.name, String(trial.number)),
    network: candidateNetwork(sweep.spec, trial.genotype),
    data: sweep.spec.data,
    training: { ...training, seed },
    verification,
    workers: { min: 1, max: 1 },
    priority: sweep.spec.priority,
  };
  emit(draft, {
    kind: 'run.created',
    runId: nextId(draft.state, 'run'),
    spec,
    facts: sweep.facts,
    costs: trial.costs,
    reason,
    sweepId: sweep.id,
    trialId: trial.id,
    ...(sweep.planId === undefined ? {} : { planId: sweep.planId }),
  });
}

function propose(draft: Draft, sweepId: string): void {
  for (;;) {
    const sweep = sweepOf(draft.state, sweepId);
    if (sweep.trialsProposed >= sweep.trialsTotal) return;
    if (sweep.openTrialIds.length >= parallelismOf(draft, sweep)) return;
    const proposal = proposeRandom({
      spec: sweep.spec,
      nextDraw: sweep.nextDraw,
      trialWith: (genotypeJson) => lookup(sweep.seen, genotypeJson),
    });
    if ('exhausted' in proposal) {
      const trialsTotal = sweep.trialsProposed;
      emit(draft, { kind: 'sweep.exhausted', sweepId, trialsTotal, reason: proposal.exhausted });
      return;
    }
    const trialId = nextId(draft.state, 'trial');
    emit(draft, { kind: 'trial.proposed', trialId, sweepId, number: sweep.trialsProposed + 1, ...proposal });
    createAttempt(draft, trialOf(draft.state, trialId), 'first attempt');
  }
}

function parallelismOf(draft: Draft, sweep: SweepState): number {
  if (sweep.spec.parallelism > 0) return sweep.spec.parallelism;
  const attached = [...draft.state.workers.values()].filter((worker) => worker.state === 'attached');
  return Math.max(1, attached.length);
}

function settlePlan(draft: Draft, planId: string): void {
  for (;;) {
    const plan = planOf(draft.state, planId);
    const next = nextOfPlan(draft.state, plan);
    switch (next.kind) {
      case 'wait':
        return;
      case 'search':
        emit(draft, {
          kind: 'sweep.submitted',
          sweepId: nextId(draft.state, 'sweep'),
          spec: next.spec,
          facts: plan.facts,
          planId,
        });
        break;
      case 'train': {
        const teacherRunId = next.spec.distillation?.teacher;
        emit(draft, {
          kind: 'run.created',
          runId: nextId(draft.state, 'run'),
          spec: next.spec,
          facts: plan.facts,
          costs: costsOf(next.spec.network),
          reason: next.reason,
          planId,
          role: next.role,
          ...(teacherRunId === undefined ? {} : { teacherRunId }),
        });
        break;
      }
      case 'fail':
        emit(draft, { kind: 'plan.ended', planId, state: 'failed', reason: next.reason });
        return;
      case 'done': {
        const { reason, winnerRunId } = next;
        emit(draft, {
          kind: 'plan.ended',
          planId,
          state: 'done',
          reason,
          ...(winnerRunId === undefined ? {} : { winnerRunId }),
        });
        return;
      }
    }
  }
}
