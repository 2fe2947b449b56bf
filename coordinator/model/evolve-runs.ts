// What events do to a run: its beginning, its gangs, what it stores, its end.

import type { Costs } from '../../core/nn/space.ts';
import type { EventOf } from './events.ts';
import {
  changePlan,
  changeRun,
  changeTrial,
  optional,
  recount,
  took,
  type Working,
  withNumber,
  withoutNumber,
} from './folding.ts';
import { appended } from './roll.ts';
import { jobAt } from './spec-of.ts';
import {
  type DataFacts,
  type EndedRun,
  type EndState,
  type Fidelity,
  hasEnded,
  isWhole,
  type Job,
  NO_BLAME,
  numberOf,
  planOf,
  type RunState,
  runOf,
  runWith,
  trialOf,
} from './state.ts';
import { withRow } from './table.ts';

/** A run that begins: queued, without a gang. */
export function runBegun(
  w: Working,
  begun: {
    readonly runId: string;
    readonly atMs: number;
    readonly reason: string;
    readonly name: string;
    readonly job: Job;
    readonly facts: DataFacts;
    readonly costs: Costs;
    readonly attempt: number;
    readonly fidelity?: Fidelity;
    readonly planId?: string;
    readonly sweepId?: string;
    readonly trialId?: string;
    readonly teacherRunId?: string;
  },
): void {
  const { runId: id, atMs, job, fidelity, planId } = begun;
  const run: RunState = {
    id,
    name: begun.name,
    state: 'queued',
    reason: begun.reason,
    createdAtMs: atMs,
    job: jobAt(job, fidelity),
    facts: begun.facts,
    costs: begun.costs,
    ...optional('planId', planId),
    ...optional('sweepId', begun.sweepId),
    ...optional('trialId', begun.trialId),
    attempt: begun.attempt,
    ...optional('fidelity', fidelity),
    ...optional('teacherRunId', begun.teacherRunId),
    studentRunIds: [],
    generation: 0,
    gang: [],
    changedAtMs: atMs,
    queuedAtMs: atMs,
    infrastructureFailures: 0,
    avoided: [],
    blame: NO_BLAME,
    checkpoints: [],
  };
  took(w, 'run', id);
  recount(w, undefined, `run ${job.kind} queued`);
  w.runs = withRow(w.runs, numberOf(id), run, w.edit);
  w.openRuns = withNumber(w.openRuns, id, w.edit);
  if (planId === undefined) return;
  changePlan(w, planId, { allRunIds: appended(planOf(w, planId).allRunIds, numberOf(id), w.edit) });
}

/** The run has a gang, or another one. */
export function runAssigned(w: Working, event: EventOf<'run.assigned'>): void {
  const { waitsForStage: _waits, ...run } = runOf(w, event.runId);
  w.runs = withRow(w.runs, numberOf(run.id), run, w.edit);
  changeRun(w, run.id, {
    state: 'running',
    reason: event.reason,
    generation: event.generation,
    gang: event.members,
    deviceClass: run.deviceClass ?? event.deviceClass,
    startedAtMs: run.startedAtMs ?? event.atMs,
    changedAtMs: event.atMs,
  });
  if (run.trialId === undefined || trialOf(w, run.trialId).state === 'running') return;
  changeTrial(w, run.trialId, { state: 'running', reason: event.reason });
}

/** The run has no gang any more and waits for one. */
export function runRequeued(w: Working, event: EventOf<'run.requeued'>): void {
  changeRun(w, event.runId, {
    state: 'queued',
    reason: event.reason,
    gang: [],
    changedAtMs: event.atMs,
    queuedAtMs: event.atMs,
    ...optional('waitsForStage', event.waitsForStage),
  });
}

/**
 * Workers that a run remembers to be kept from: in a large fleet the latest; the others are only tried again
 * sooner.
 */
const AVOIDED_MAX = 64;

/** A worker could not go on with the run. */
export function runTroubled(w: Working, event: EventOf<'run.troubled'>): void {
  const { workerId, avoidUntilMs: untilMs, reason } = event;
  const { infrastructureFailures, avoided } = runOf(w, event.runId);
  const failures = (avoided.find((one) => one.workerId === workerId)?.failures ?? 0) + 1;
  const others = avoided.filter((one) => one.workerId !== workerId);
  changeRun(w, event.runId, {
    infrastructureFailures: infrastructureFailures + (event.ofPlace ? 0 : 1),
    avoided: [...others, { workerId, untilMs, failures, reason }].slice(-AVOIDED_MAX),
  });
}

/** A stage is stored. */
export function runCheckpointed(w: Working, event: EventOf<'run.checkpointed'>): void {
  const run = runWith(w, event.runId);
  // A release before journalled a stage that was stored after the run's end; it changes nothing.
  if (run === undefined || !isWhole(run)) return;
  const { stage, step, bytes, digest } = event;
  const others = run.checkpoints.filter((checkpoint) => checkpoint.stage !== stage);
  changeRun(w, run.id, {
    checkpoints: [...others, { stage, step, bytes, digest, storedAtMs: event.atMs }].sort(
      (a, b) => a.stage - b.stage,
    ),
    infrastructureFailures: 0,
    avoided: run.avoided.filter(({ workerId }) => !run.gang.some((member) => member.workerId === workerId)),
    blame: NO_BLAME,
  });
}

/** The run has ended; a result at a lower fidelity is kept with its trial. */
export function runEnded(w: Working, id: string, change: Partial<RunState>): void {
  changeRun(w, id, { ...change, gang: [] });
  w.openRuns = withoutNumber(w.openRuns, id, w.edit);
  const { trialId, fidelity, evaluation } = runOf(w, id);
  if (trialId === undefined || fidelity === undefined || evaluation === undefined) return;
  const { rungs = [] } = trialOf(w, trialId);
  const rung = { fidelity, runId: id, objectives: { accuracy: evaluation.accuracy } };
  changeTrial(w, trialId, { rungs: [...rungs, rung] });
}

/** The run waits for a gang again, with a clean slate. */
export function runResumed(w: Working, id: string, event: { reason: string; atMs: number }): void {
  const { endedAtMs: _ended, failureCause: _cause, ...run } = runOf(w, id);
  const { reason, atMs } = event;
  recount(w, `run ${run.job.kind} ${run.state}`, `run ${run.job.kind} queued`);
  const fresh = {
    infrastructureFailures: 0,
    avoided: [],
    blame: NO_BLAME,
    changedAtMs: atMs,
    queuedAtMs: atMs,
  };
  w.runs = withRow(w.runs, numberOf(id), { ...run, ...fresh, state: 'queued', reason }, w.edit);
  w.openRuns = withNumber(w.openRuns, id, w.edit);
}

/** Keeps of a candidate's run what lists show. */
export function summarise(w: Working, id: string): void {
  const run = runWith(w, id);
  if (run === undefined || !isWhole(run) || !hasEnded(run)) return;
  const summary: EndedRun = {
    id,
    state: run.state as EndState,
    reason: run.reason,
    trialId: run.trialId!,
    sweepId: run.sweepId!,
    attempt: run.attempt,
    generation: run.generation,
    ...optional('deviceClass', run.deviceClass),
    createdAtMs: run.createdAtMs,
    ...optional('startedAtMs', run.startedAtMs),
    ...optional('endedAtMs', run.endedAtMs),
    ...optional('finalStep', run.finalStep),
    ...optional('weightsDigest', run.weightsDigest),
    ...optional('accuracy', run.evaluation?.accuracy),
    ...optional('failureCause', run.failureCause),
    stages: run.checkpoints.length,
  };
  w.runs = withRow(w.runs, numberOf(id), summary, w.edit);
}
