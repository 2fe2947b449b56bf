// A run that has left memory as far as it can be shown without reading the journal.

import { childName } from '../../core/spec/common.ts';
import { optional } from './folding.ts';
import { latencyOfEnded } from './measured.ts';
import { costsAt, jobAt } from './spec-of.ts';
import {
  type EndedRun,
  type EvaluationState,
  NO_BLAME,
  type RunState,
  type State,
  sweepOf,
  trialOf,
} from './state.ts';

/** The run without its checkpoints, and with no more of its evaluation than what its trial has. */
export function outlineOf(state: State, summary: EndedRun): RunState {
  const sweep = sweepOf(state, summary.sweepId);
  const trial = trialOf(state, summary.trialId);
  const {
    accuracy,
    stages: _stages,
    halted: _halted,
    kept: _kept,
    isLetGo: _letGo,
    reusedFrom,
    ...known
  } = summary;
  const latency = latencyOfEnded(trial, summary);
  const evaluation =
    accuracy === undefined
      ? {}
      : { evaluation: { ...accuracyAlone(accuracy), ...optional('latency', latency) } };
  return {
    ...known,
    ...evaluation,
    ...(reusedFrom === undefined ? {} : { reused: { runId: reusedFrom } }),
    name: childName(sweep.name, String(trial.number)),
    job: jobAt(sweep.job, known.fidelity),
    facts: sweep.facts,
    costs: costsAt(sweep, trial, known.fidelity),
    ...(sweep.planId === undefined ? {} : { planId: sweep.planId }),
    ...optional('teacherRunId', sweep.teacherRunId),
    studentRunIds: [],
    gang: [],
    changedAtMs: summary.endedAtMs ?? summary.createdAtMs,
    queuedAtMs: summary.createdAtMs,
    infrastructureFailures: 0,
    blame: NO_BLAME,
    avoided: [],
    checkpoints: [],
  };
}

/** A verification of which the accuracy alone is known. */
export function accuracyAlone(accuracy: number): EvaluationState {
  const unknown = Number.NaN;
  return { accuracy, accuracyStd: unknown, auc: unknown, eer: unknown, tarAtFar: unknown, pairs: 0 };
}
