// What events do to a run: its beginning, its gangs, what it stores, its end.

import type { Costs } from '../../core/nn/space.ts';
import type { Fidelity } from '../strategies/fidelity.ts';
import { closeAccount, countAttempt, forgive, openAccount, shareOf, unstoredAt } from './accounts.ts';
import type { EventOf } from './events.ts';
import { codeWith, resultNoted, twinClosed, twinOpened } from './evolve-results.ts';
import { dropEarlierInPlace, withoutEarlier } from './evolve-stages.ts';
import {
  changePlan,
  changeRun,
  changeSweep,
  changeTrial,
  draftOfTrial,
  moveTrial,
  optional,
  recount,
  runCount,
  took,
  type Working,
  withNumber,
  withoutNumber,
} from './folding.ts';
import { measuresOf } from './measured.ts';
import { outlineOf } from './outline.ts';
import { appended } from './roll.ts';
import { jobAt } from './spec-of.ts';
import {
  accuracyOf,
  type CheckpointState,
  type DataFacts,
  type EndedRun,
  type EndState,
  hasEnded,
  isWhole,
  type Job,
  type KeptStage,
  NO_BLAME,
  numberOf,
  planOf,
  type RunState,
  runOf,
  runWith,
  storedStep,
  sweepOf,
  trialOf,
  wholeRunWith,
} from './state.ts';
import { withRow } from './table.ts';

/** What a run is when it begins, beside what its event has. */
interface Beginning {
  readonly attempt: number;
  readonly name: string;
  readonly job: Job;
  readonly facts: DataFacts;
  readonly costs: Costs;
  readonly planId?: string | undefined;
  readonly sweepId?: string | undefined;
  readonly trialId?: string | undefined;
  readonly forTrialId?: string | undefined;
  readonly fidelity?: Fidelity | undefined;
  readonly haltStage?: number | undefined;
  readonly evaluateStages?: readonly number[] | undefined;
  readonly teacherRunId?: string | undefined;
  /** Of a run by itself. */
  readonly owner?: string | undefined;
  /** Where it is known before its first gang. */
  readonly deviceClass?: string | undefined;
  readonly priority?: number | undefined;
}

/** A run that begins: queued, without a gang. */
export function runBegun(
  w: Working,
  event: { readonly runId: string; readonly atMs: number; readonly reason: string },
  begun: Beginning,
): void {
  const { runId: id, atMs, reason } = event;
  const { attempt, name, job, facts, costs, planId, sweepId, trialId, fidelity, teacherRunId, owner } = begun;
  const run: { -readonly [K in keyof RunState]: RunState[K] } = {
    id,
    name,
    state: 'queued',
    reason,
    createdAtMs: atMs,
    job: jobAt(job, fidelity),
    facts,
    costs,
    attempt,
    studentRunIds: NONE,
    generation: 0,
    gang: NONE,
    changedAtMs: atMs,
    queuedAtMs: atMs,
    infrastructureFailures: 0,
    avoided: NONE,
    blame: NO_BLAME,
    checkpoints: NONE,
  };
  // One by one: a spread of what may be absent takes as long as all the rest.
  if (planId !== undefined) run.planId = planId;
  if (sweepId !== undefined) run.sweepId = sweepId;
  if (trialId !== undefined) run.trialId = trialId;
  if (begun.forTrialId !== undefined) run.forTrialId = begun.forTrialId;
  if (fidelity !== undefined) run.fidelity = fidelity;
  if (begun.haltStage !== undefined) run.haltStage = begun.haltStage;
  if (begun.evaluateStages !== undefined) run.evaluateStages = begun.evaluateStages;
  if (teacherRunId !== undefined) run.teacherRunId = teacherRunId;
  if (begun.priority !== undefined) run.priority = begun.priority;
  if (owner !== undefined) run.owner = owner;
  if (begun.deviceClass !== undefined) run.deviceClass = begun.deviceClass;
  if (isLoose(run)) openAccount(w, shareOf(w, run));
  took(w, 'run', id);
  recount(w, undefined, runCount(job.kind, 'queued'));
  w.runs = withRow(w.runs, numberOf(id), run, w.edit);
  w.openRuns = withNumber(w.openRuns, id, w.edit);
  studentTaken(w, run);
  twinOpened(w, run);
  if (planId === undefined) return;
  changePlan(w, planId, { allRunIds: appended(planOf(w, planId).allRunIds, numberOf(id), w.edit) });
}

/** Its teacher has one more student. */
function studentTaken(w: Working, { id, teacherRunId }: RunState): void {
  const teacher = teacherRunId === undefined ? undefined : wholeRunWith(w, teacherRunId);
  if (teacher !== undefined) changeRun(w, teacher.id, { studentRunIds: [...teacher.studentRunIds, id] });
}

/** Its teacher has one student fewer. */
export function studentLeft(w: Working, { id, teacherRunId }: RunState): void {
  const teacher = teacherRunId === undefined ? undefined : wholeRunWith(w, teacherRunId);
  if (teacher !== undefined)
    changeRun(w, teacher.id, { studentRunIds: teacher.studentRunIds.filter((student) => student !== id) });
}

/** It belongs to no plan and no sweep. */
function isLoose(run: RunState): boolean {
  return run.planId === undefined && run.sweepId === undefined;
}

/** The list of a run that has none of something; nobody changes it. */
const NONE: readonly never[] = Object.freeze([]);

/** The run has a gang, or another one. */
export function runAssigned(w: Working, event: EventOf<'run.assigned'>): void {
  const run = runOf(w, event.runId);
  const begins = run.gang.length === 0;
  const keepsRows = run.imageRowsBytes !== undefined;
  if (run.waitsForStage !== undefined || keepsRows || (begins && run.lentByRunId !== undefined)) {
    const { waitsForStage: _waits, imageRowsBytes: _bytes, lentByRunId, ...rest } = run;
    w.runs = withRow(
      w.runs,
      numberOf(run.id),
      { ...rest, ...optional('lentByRunId', begins ? undefined : lentByRunId) },
      w.edit,
    );
  }
  const unstoredMs = unstoredAt(run, event.atMs);
  if (run.generation === 0) countAttempt(w, shareOf(w, run));
  const code = codeWith(w, run, event.members);
  const change: { -readonly [K in keyof RunState]?: RunState[K] } = {
    // Who is lost or leaves while it pauses changes nothing of that.
    state: run.state === 'pausing' ? 'pausing' : 'running',
    reason: event.reason,
    generation: event.generation,
    gang: event.members,
    deviceClass: run.deviceClass ?? event.deviceClass,
    startedAtMs: run.startedAtMs ?? event.atMs,
    changedAtMs: event.atMs,
  };
  // One by one, as at its beginning.
  if (code !== undefined) change.code = code;
  if (unstoredMs !== 0 || run.unstoredMs !== undefined) change.unstoredMs = unstoredMs;
  if (event.agedPriority !== undefined) change.agedPriority = event.agedPriority;
  if (event.lentByRunId !== undefined) change.lentByRunId = event.lentByRunId;
  if (event.imageRows !== undefined) change.imageRowsBytes = event.imageRows.bytesMax;
  changeRun(w, run.id, change);
  const trialId = run.trialId ?? run.forTrialId;
  if (trialId === undefined || trialOf(w, trialId).state !== 'queued') return;
  const trial = draftOfTrial(w, trialId);
  moveTrial(w, trial, 'running');
  trial.reason = event.reason;
}

/** The run has no gang any more and waits for one. */
export function runRequeued(w: Working, event: EventOf<'run.requeued'>): void {
  const run = runOf(w, event.runId);
  noLongerPlaced(w, event.runId);
  forgetClass(w, event.runId);
  changeRun(w, event.runId, {
    state: 'queued',
    reason: event.reason,
    gang: [],
    changedAtMs: event.atMs,
    queuedAtMs: event.atMs,
    ...optional('waitsForStage', event.waitsForStage),
  });
  forgive(w, shareOf(w, run), unstoredAt(run, event.atMs));
}

/** A run that lacks memory and begins again may do so on a device of another class. */
function forgetClass(w: Working, id: string): void {
  const { deviceClass, ...rest } = runOf(w, id);
  if (deviceClass === undefined || rest.memory === undefined || storedStep(rest) > 0) return;
  w.runs = withRow(w.runs, numberOf(id), rest, w.edit);
}

/**
 * What is known of its gang or its twin alone is over: what it pauses for, what waiting had earned it, what it has not
 * stored.
 */
export function noLongerPlaced(w: Working, id: string): void {
  const run = runOf(w, id);
  const isPlain =
    run.pausing === undefined &&
    run.agedPriority === undefined &&
    run.unstoredMs === undefined &&
    run.twinRunId === undefined;
  if (isPlain) return;
  const { pausing: _pausing, agedPriority: _priority, unstoredMs: _ms, twinRunId: _twin, ...rest } = run;
  w.runs = withRow(w.runs, numberOf(id), rest, w.edit);
}

/**
 * Workers that a run remembers to be kept from: in a large fleet the latest; the others are only tried again
 * sooner.
 */
const AVOIDED_MAX = 64;

/** A worker could not go on with the run. */
export function runTroubled(w: Working, event: EventOf<'run.troubled'>): void {
  const { workerId, avoidUntilMs: untilMs, reason, memory } = event;
  if (memory !== undefined) {
    changeRun(w, event.runId, { memory });
    return;
  }
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
  const { gang, avoided, checkpoints } = run;
  const stored = { stage, step, bytes, digest, storedAtMs: event.atMs };
  const added: CheckpointState = event.found === undefined ? stored : { ...stored, found: event.found };
  if (event.evaluation !== undefined) judgedOnTheWay(w, run, { stage, evaluation: event.evaluation });
  const { isOnlyStage } = event;
  const hasNoTrouble = run.infrastructureFailures === 0 && avoided.length === 0 && run.blame === NO_BLAME;
  if (w.ownsRows && hasNoTrouble && checkpoints.length === 0) {
    (run as { checkpoints: readonly CheckpointState[] }).checkpoints = [added];
    return;
  }
  if (w.ownsRows && hasNoTrouble && hasTaken(checkpoints, added)) {
    if (isOnlyStage) dropEarlierInPlace(checkpoints, stage);
    return;
  }
  const stages = withCheckpoint(checkpoints, added);
  changeRun(w, run.id, {
    checkpoints: isOnlyStage ? withoutEarlier(stages, stage) : stages,
    infrastructureFailures: 0,
    avoided:
      avoided.length === 0
        ? avoided
        : avoided.filter(({ workerId }) => !gang.some((member) => member.workerId === workerId)),
    blame: NO_BLAME,
  });
}

/** A run has a result at a stage behind which it goes on: it stands for what a run of so many epochs computes. */
function judgedOnTheWay(
  w: Working,
  run: RunState,
  { stage, evaluation }: Required<Pick<EventOf<'run.checkpointed'>, 'stage' | 'evaluation'>>,
): void {
  const measured = measuresOf({ evaluation });
  if (run.trialId === undefined || measured === undefined) return;
  const { rungs = [] } = trialOf(w, run.trialId);
  // A stage that the store had lost was computed again.
  if (rungs.some(({ runId, fidelity }) => runId === run.id && fidelity.epochs === stage)) return;
  changeTrial(w, run.trialId, {
    rungs: [...rungs, { fidelity: { epochs: stage }, runId: run.id, ...measured }],
  });
  resultNoted(w, { ...run, haltStage: stage });
}

/** Adds a stage to a list that nobody has seen; false: it is the first or not the newest, and the list is as it was. */
function hasTaken(checkpoints: readonly CheckpointState[], added: CheckpointState): boolean {
  const newest = checkpoints.at(-1);
  if (newest === undefined || newest.stage >= added.stage) return false;
  (checkpoints as CheckpointState[]).push(added);
  return true;
}

/** By stage, ascending; one of the same stage is replaced. */
function withCheckpoint(
  checkpoints: readonly CheckpointState[],
  added: CheckpointState,
): readonly CheckpointState[] {
  const newest = checkpoints.at(-1);
  if (newest === undefined || newest.stage < added.stage) return [...checkpoints, added];
  const others = checkpoints.filter(({ stage }) => stage !== added.stage);
  return [...others, added].sort((a, b) => a.stage - b.stage);
}

/** The run is trained, and verified where its spec wants that. */
export function runFinished(w: Working, event: EventOf<'run.finished'>): void {
  const { runId, atMs: endedAtMs, step: finalStep, weightsDigest, evaluation } = event;
  const change: { -readonly [K in keyof RunState]?: RunState[K] } = {
    state: 'done',
    reason: event.stopped ?? 'finished',
    endedAtMs,
    finalStep,
    weightsDigest,
    gang: NONE,
  };
  if (evaluation !== undefined) change.evaluation = evaluation;
  ended(w, runId, change);
  if (evaluation !== undefined) resultNoted(w, runOf(w, runId));
}

/** The run has the result of another one. */
export function runReused(w: Working, event: EventOf<'run.reused'>): void {
  const { runId, fromRunId, code, deviceClass, step: finalStep, weightsDigest, evaluation } = event;
  const taken = { ...optional('accuracy', event.accuracy), ...optional('latency', event.latency) };
  ended(w, runId, {
    ...{ state: 'done', reason: event.reason, endedAtMs: event.atMs, gang: NONE },
    ...{ code, finalStep, weightsDigest, reused: { runId: fromRunId, ...taken } },
    ...optional('deviceClass', deviceClass),
    ...optional('evaluation', evaluation),
  });
  const run = runOf(w, runId);
  resultNoted(w, run);
  const origin = runWith(w, fromRunId);
  if (run.trialId !== undefined || origin === undefined || !isWhole(origin)) return;
  // It has no stages of its own: who learns from it learns from the other.
  for (const id of run.studentRunIds) changeRun(w, id, { teacherRunId: fromRunId });
  changeRun(w, fromRunId, {
    studentRunIds: [...origin.studentRunIds, ...run.studentRunIds],
    takerRunIds: [...(origin.takerRunIds ?? []), runId],
  });
  for (const id of run.taughtSweepIds ?? []) changeSweep(w, id, { teacherRunId: fromRunId });
  if (run.taughtSweepIds !== undefined)
    changeRun(w, fromRunId, { taughtSweepIds: [...(origin.taughtSweepIds ?? []), ...run.taughtSweepIds] });
  changeRun(w, runId, { studentRunIds: NONE, ...(run.taughtSweepIds && { taughtSweepIds: NONE }) });
}

/** The run waits for one that computes the same, or no longer. */
export function runTwinned(w: Working, { runId, twinRunId, reason }: EventOf<'run.twinned'>): void {
  noLongerTwinned(w, runId);
  changeRun(w, runId, { reason, ...optional('twinRunId', twinRunId) });
}

function noLongerTwinned(w: Working, id: string): void {
  const { twinRunId, ...rest } = runOf(w, id);
  if (twinRunId !== undefined) w.runs = withRow(w.runs, numberOf(id), rest, w.edit);
}

/** The run stands at the end of a stage with a result. */
export function runHalted(w: Working, event: EventOf<'run.halted'>): void {
  const { runId, atMs: endedAtMs, stage, step: finalStep, weightsDigest, evaluation } = event;
  const change = { state: 'done' as const, endedAtMs, finalStep, weightsDigest, haltStage: stage };
  const reason = `paused at the end of stage ${stage} with its result`;
  ended(w, runId, { ...change, reason, gang: NONE, ...optional('evaluation', evaluation) });
  if (evaluation !== undefined) resultNoted(w, runOf(w, runId));
}

/** A run that has halted waits for a gang again. */
export function runContinued(w: Working, event: EventOf<'run.continued'>): void {
  const { runId, attempt, haltStage, reason, atMs } = event;
  const known = runWith(w, runId);
  if (known === undefined) return;
  const before = isWhole(known) ? known : rebuilt(w, known);
  if (!isWhole(known)) studentTaken(w, before);
  const {
    endedAtMs: _ended,
    failureCause: _cause,
    evaluation: _result,
    finalStep: _step,
    weightsDigest: _weights,
    ...rest
  } = before;
  const { haltStage: _halt, ...run } = rest;
  const fresh = { infrastructureFailures: 0, avoided: NONE, blame: NO_BLAME };
  const now = { state: 'queued' as const, reason, changedAtMs: atMs, queuedAtMs: atMs };
  recount(w, runCount(run.job.kind, run.state), runCount(run.job.kind, 'queued'));
  const going = {
    ...run,
    ...fresh,
    ...now,
    ...optional('attempt', attempt),
    ...optional('haltStage', haltStage),
  };
  w.runs = withRow(w.runs, numberOf(runId), going, w.edit);
  w.openRuns = withNumber(w.openRuns, runId, w.edit);
  twinOpened(w, going);
  if (attempt !== undefined && run.forTrialId !== undefined) changeTrial(w, run.forTrialId, { reason });
}

/** A run that has left memory, with the checkpoint from which it goes on, and those that are kept by request. */
function rebuilt(w: Working, summary: EndedRun): RunState {
  const { halted, kept: asked = NONE, ...known } = summary;
  const kept = asked.filter((one): one is CheckpointState & KeptStage => one.digest !== undefined);
  const { evaluation: _accuracy, ...run } = outlineOf(w, known);
  const { priority } = trialOf(w, summary.trialId);
  return {
    ...run,
    checkpoints:
      halted === undefined ? kept : [...kept.filter(({ stage }) => stage !== halted.stage), halted],
    ...optional('priority', priority ?? sweepOf(w, summary.sweepId).priority),
  };
}

/** The run has failed or was cancelled. */
export function runEnded(w: Working, id: string, change: Partial<RunState>): void {
  ended(w, id, { ...change, gang: NONE });
  const { trialId } = runOf(w, id);
  // It was let go on while it was judged, and will not be continued.
  if (trialId !== undefined && trialOf(w, trialId).isStopped) summarise(w, id);
}

/** The run has ended; a result at a lower fidelity is kept with its trial. */
function ended(w: Working, id: string, change: Partial<RunState>): void {
  noLongerPlaced(w, id);
  changeRun(w, id, change);
  w.openRuns = withoutNumber(w.openRuns, id, w.edit);
  const run = runOf(w, id);
  twinClosed(w, run);
  if (isLoose(run)) closeAccount(w, shareOf(w, run));
  const { trialId, haltStage } = run;
  const fidelity = haltStage === undefined ? run.fidelity : { epochs: haltStage };
  const measured = measuresOf(run);
  if (trialId === undefined || fidelity === undefined || measured === undefined) return;
  const { rungs = [] } = trialOf(w, trialId);
  const rung = { fidelity, runId: id, ...measured };
  changeTrial(w, trialId, { rungs: [...rungs, rung] });
}

/** Those up to the newest from which a run can go on: what was deleted behind that is computed and stored again. */
function upToStored(checkpoints: readonly CheckpointState[]): readonly CheckpointState[] {
  const newest = checkpoints.findLastIndex(({ held }) => held === undefined);
  return newest === checkpoints.length - 1 ? checkpoints : checkpoints.slice(0, newest + 1);
}

/** The run waits for a gang again, with a clean slate. */
export function runResumed(w: Working, id: string, event: { reason: string; atMs: number }): void {
  const before = runOf(w, id);
  const { endedAtMs: _ended, failureCause: _cause, isHeld: _held, ...rest } = before;
  const { memory: _memory, spent: _spent, ...clean } = rest;
  const run = hasEnded(before) ? clean : rest;
  const { reason, atMs } = event;
  if (!hasEnded(before)) {
    // It was paused, and what belongs to it may be paused still.
    w.runs = withRow(w.runs, numberOf(id), run, w.edit);
    return;
  }
  recount(w, runCount(run.job.kind, run.state), runCount(run.job.kind, 'queued'));
  const fresh = {
    checkpoints: upToStored(run.checkpoints),
    infrastructureFailures: 0,
    avoided: [],
    blame: NO_BLAME,
    changedAtMs: atMs,
    queuedAtMs: atMs,
  };
  w.runs = withRow(w.runs, numberOf(id), { ...run, ...fresh, state: 'queued', reason }, w.edit);
  w.openRuns = withNumber(w.openRuns, id, w.edit);
  twinOpened(w, runOf(w, id));
  if (isLoose(runOf(w, id))) openAccount(w, shareOf(w, runOf(w, id)));
}

/** What every summary has, and most of them all of: those are made in one piece, which takes a third less room. */
function summaryOf(run: RunState): { -readonly [K in keyof EndedRun]: EndedRun[K] } {
  const { id, reason, attempt, generation, createdAtMs, checkpoints } = run;
  const { deviceClass, startedAtMs, endedAtMs, finalStep, weightsDigest } = run;
  const [state, trialId, sweepId] = [run.state as EndState, run.trialId!, run.sweepId!];
  const stages = Math.max(checkpoints.length, checkpoints.at(-1)?.stage ?? 0);
  const accuracy = accuracyOf(run);
  if (
    deviceClass !== undefined &&
    startedAtMs !== undefined &&
    endedAtMs !== undefined &&
    finalStep !== undefined &&
    weightsDigest !== undefined &&
    accuracy !== undefined
  )
    return {
      id,
      state,
      reason,
      trialId,
      sweepId,
      attempt,
      generation,
      createdAtMs,
      stages,
      deviceClass,
      startedAtMs,
      endedAtMs,
      finalStep,
      weightsDigest,
      accuracy,
    };
  return {
    ...{ id, state, reason, trialId, sweepId, attempt, generation, createdAtMs, stages },
    ...optional('deviceClass', deviceClass),
    ...optional('startedAtMs', startedAtMs),
    ...optional('endedAtMs', endedAtMs),
    ...optional('finalStep', finalStep),
    ...optional('weightsDigest', weightsDigest),
    ...optional('accuracy', accuracy),
  };
}

/** Keeps of a candidate's run what lists show. */
export function summarise(w: Working, id: string): void {
  const run = runWith(w, id);
  if (run === undefined || !isWhole(run) || !hasEnded(run)) return;
  studentLeft(w, run);
  const { failureCause, code, reused } = run;
  const summary = summaryOf(run);
  if (failureCause !== undefined) summary.failureCause = failureCause;
  const newest = run.checkpoints.at(-1);
  if (run.haltStage !== undefined && newest !== undefined) summary.halted = newest;
  const kept = run.checkpoints.flatMap((one) =>
    one.kept === undefined || one.held === 'nothing' ? [] : [{ ...one, kept: one.kept }],
  );
  if (kept.length > 0) summary.kept = kept;
  if (run.fidelity !== undefined) summary.fidelity = run.fidelity;
  if (code !== undefined) summary.code = code;
  if (reused !== undefined) summary.reusedFrom = reused.runId;
  w.runs = withRow(w.runs, numberOf(id), summary, w.edit);
}
