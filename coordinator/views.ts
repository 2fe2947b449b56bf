// The state as the wire shows it: pure functions from domain types to messages. Decides what a person sees where the state
// has no answer yet (NaN, 0, empty), and nothing else.

import { scheduleOf } from '../core/schedule.ts';
import { canonicalJson } from '../core/spec.ts';
import type {
  Checkpoint,
  Evaluation,
  Plan,
  Run,
  Sweep,
  Trial,
  Worker,
} from '../proto/gen/pocketfleet/v1/fleet.ts';
import { runsHeldBy } from './gangs.ts';
import type { ProgressBoard } from './progress.ts';
import {
  type EvaluationState,
  type PlanState,
  type RunState,
  runOf,
  type State,
  type SweepState,
  type TrialState,
  trialOf,
  type WorkerState,
} from './state.ts';

/** What a view needs besides the thing itself. */
export interface ViewContext {
  readonly state: State;
  readonly progress: ProgressBoard;
  /** Reasons of queued runs, from the scheduler. */
  readonly waiting: ReadonlyMap<string, string>;
  readonly lastSeenMs: (workerId: string) => number | undefined;
}

export function planView(plan: PlanState): Plan {
  return {
    id: plan.id,
    name: plan.name,
    state: plan.state,
    reason: plan.reason,
    sweepId: plan.sweepId ?? '',
    runIds: [...(plan.teacherRunId === undefined ? [] : [plan.teacherRunId]), ...plan.studentRunIds],
    createdAtMs: plan.createdAtMs,
    endedAtMs: plan.endedAtMs ?? 0,
    winnerRunId: plan.winnerRunId ?? '',
    yaml: plan.yaml,
  };
}

export function sweepView(context: ViewContext, sweep: SweepState): Sweep {
  const best = sweep.bestTrialId === undefined ? undefined : trialOf(context.state, sweep.bestTrialId);
  return {
    id: sweep.id,
    name: sweep.name,
    state: sweep.state,
    reason: sweep.reason,
    trialsTotal: sweep.trialsTotal,
    trialsDone: sweep.trialsDone,
    trialsFailed: sweep.trialsFailed,
    bestTrialId: best?.id ?? '',
    bestObjective: best?.objective ?? Number.NaN,
    createdAtMs: sweep.createdAtMs,
    endedAtMs: sweep.endedAtMs ?? 0,
    strategy: sweep.spec.strategy.kind,
    planId: sweep.planId ?? '',
  };
}

export function trialView(trial: TrialState): Trial {
  return {
    id: trial.id,
    sweepId: trial.sweepId,
    number: trial.number,
    state: trial.state,
    reason: trial.reason,
    runId: trial.runIds.at(-1) ?? '',
    genotypeJson: trial.genotypeJson,
    ...trial.costs,
    objective: trial.objective ?? Number.NaN,
    attempts: trial.runIds.length,
  };
}

export function runView(context: ViewContext, run: RunState): Run {
  const { spec, facts } = run;
  const schedule = scheduleOf(spec.training, facts.trainingImages);
  const newest = context.progress.of(run.id);
  const point = newest?.point;
  const step = run.finalStep ?? Math.max(point?.step ?? 0, run.checkpoints.at(-1)?.step ?? 0);
  const running = run.state === 'running';
  const rate = running ? (point?.imagesPerSecond ?? 0) : 0;
  // Of a point that a checkpoint has overtaken it says nothing.
  const openRoundSteps = running && point?.step === step ? (newest?.openRoundSteps ?? 0) : 0;
  const waits = running && (newest?.waitingForStage ?? 0) > 0;
  return {
    id: run.id,
    name: run.name,
    kind: spec.kind,
    state: waits ? 'waiting' : run.state,
    reason: waits
      ? `waits for stage ${newest?.waitingForStage} of its teacher ${run.teacherRunId}`
      : (context.waiting.get(run.id) ?? run.reason),
    generation: run.generation,
    workerIds: run.gang.map((member) => member.workerId),
    step,
    stepsTotal: schedule.stepsTotal,
    epoch: step === 0 ? 0 : Math.min(spec.training.epochs, (step * schedule.batch) / schedule.images),
    loss: point?.loss ?? Number.NaN,
    imagesPerSecond: rate,
    startedAtMs: run.startedAtMs ?? 0,
    endedAtMs: run.endedAtMs ?? 0,
    weightsDigest: run.weightsDigest ?? '',
    evaluation: run.evaluation && evaluationView(run.evaluation),
    attempts: attemptsOf(context.state, run),
    sweepId: run.sweepId ?? '',
    planId: run.planId ?? '',
    teacherRunId: run.teacherRunId ?? '',
    parameters: run.costs.parameters,
    mflops: run.costs.mflops,
    checkpoints: run.checkpoints.length,
    deviceClass: run.deviceClass ?? '',
    specJson: canonicalJson(spec),
    remainingSeconds: rate > 0 ? ((schedule.stepsTotal - step - openRoundSteps) * schedule.batch) / rate : 0,
    openRoundSteps,
  };
}

/** Which try of its trial a run is; runs outside sweeps have one. */
function attemptsOf(state: State, run: RunState): number {
  return run.trialId === undefined ? 1 : trialOf(state, run.trialId).runIds.indexOf(run.id) + 1;
}

export function evaluationView(evaluation: EvaluationState): Evaluation {
  return { ...evaluation, accuracyUntrained: evaluation.accuracyUntrained ?? Number.NaN };
}

export function workerView(context: ViewContext, worker: WorkerState): Worker {
  const held = runsHeldBy(context.state, worker.id);
  return {
    id: worker.id,
    state: worker.state === 'attached' ? (held.length > 0 ? 'busy' : 'idle') : worker.state,
    deviceClass: worker.deviceClass,
    slots: worker.slots,
    runIds: held.map((run) => run.id),
    lastSeenMs: context.lastSeenMs(worker.id) ?? worker.changedAtMs,
    imagesPerSecond: held.reduce((sum, run) => sum + shareOfRate(context, run, worker.id), 0),
    version: worker.version,
    host: worker.host,
    reason: worker.reason,
    pid: worker.pid,
  };
}

/** A gang's rate is shared out by shards: that is how its images are. */
function shareOfRate(context: ViewContext, run: RunState, workerId: string): number {
  const rate = context.progress.of(run.id)?.point.imagesPerSecond ?? 0;
  const shards = run.gang.find((member) => member.workerId === workerId)?.shardCount ?? 0;
  return (rate * shards) / run.spec.training.shards;
}

export function checkpointViews(state: State, runId: string): Checkpoint[] {
  return runOf(state, runId).checkpoints.map((checkpoint) => ({ runId, ...checkpoint }));
}
