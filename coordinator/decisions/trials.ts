// What becomes of a trial: its first attempt, another attempt after a failure, its result, or its end.
//
// A run is determined by its spec and seed, so what is the run's own fails again in the same step: numbers that are
// not finite, an error of the spec, too little memory wherever it was tried, a crash of its process. Another seed
// would be another experiment under the same name, so such a trial fails at once, and the strategy is told so. Only
// a run that infrastructure has failed too often gets another attempt, from the same seed.

import { attemptOf } from '../model/attempts.ts';
import { leaseOf } from '../model/halted.ts';
import { keptTrials } from '../model/kept-trials.ts';
import { type Measured, measuresOf } from '../model/measured.ts';
import {
  type EndedRun,
  endingOf,
  hasEnded,
  isWhole,
  numberOf,
  type RunState,
  runOf,
  runWith,
  sweepOf,
  type TrialState,
  trialOf,
} from '../model/state.ts';
import { type Fidelity, fidelityKindOf, fidelityText, isSameFidelity } from '../strategies/fidelity.ts';
import { passedRungs } from '../strategies/rungs.ts';
import { attemptsSpent } from './budgets.ts';
import { type Draft, emit, nextId } from './draft.ts';
import { resultFor, reuse } from './reuse.ts';
import { settleSearch } from './seeds.ts';

/** Settles an open trial: it ends as its newest run did, or makes another attempt. */
export function settleTrial(draft: Draft, trial: TrialState): void {
  const runId = trial.runIds.at(-1);
  if (runId === undefined) {
    if (trial.seed !== undefined && trial.genotypeKey === '' && !settleSearch(draft, trial)) return;
    createAttempt(draft, trialOf(draft.state, trial.id), 'first attempt');
    return;
  }
  const known = runWith(draft.state, runId);
  if (known !== undefined && !isWhole(known)) {
    // Only the runs of a trial that was done are summaries: it was promoted.
    promote(draft, trial, known);
    return;
  }
  const run = runOf(draft.state, runId);
  const end = (state: 'done' | 'failed' | 'cancelled', reason: string, measured?: Measured) => {
    const before = keptTrials(sweepOf(draft.state, trial.sweepId));
    emit(draft, {
      kind: 'trial.ended',
      trialId: trial.id,
      state,
      reason,
      ...measured,
    });
    // What was the best so far, or on the front, is not kept any more when there is a better one.
    const kept = keptTrials(sweepOf(draft.state, trial.sweepId));
    for (const one of before)
      if (!kept.has(one))
        for (const id of trialOf(draft.state, one).runIds.slice(-1)) draft.agenda.stages.add(numberOf(id));
  };
  const passed = passedRung(trial, run);
  if (passed === undefined && run.state === 'cancelled') end('cancelled', `its run ${endingOf(run)}`);
  if (passed !== undefined || run.state === 'done') {
    const measured = passed === undefined ? measuresOf(run) : passed.measured;
    const { accuracy, latency } = measured?.objectives ?? {};
    const how = `${latencyText(latency)}${afterText(draft, trial)}${reusedText(run)}`;
    const goesOn = hasEnded(run) ? '' : '; its run goes on while it is judged';
    if (accuracy === undefined || !Number.isFinite(accuracy))
      end('failed', `its run ${run.id} finished without a verification accuracy`);
    else if (run.job.verification.latency && latency === undefined)
      end('failed', `its run ${run.id} finished without a latency, for which its sweep looks`);
    else end('done', `accuracy ${accuracy.toFixed(4)}${how}${goesOn}`, measured);
    return;
  }
  if (run.state !== 'failed') return;
  if (run.failureCause !== 'infrastructure') {
    end('failed', run.reason);
    return;
  }
  const { attemptsMax } = sweepOf(draft.state, trial.sweepId).spec;
  const attempt = attemptOf(draft.state, trial, run.id);
  const spent = attemptsSpent(draft.state, trial.sweepId);
  if (attempt >= attemptsMax) end('failed', `${run.reason} (attempt ${attempt} of ${attemptsMax})`);
  else if (spent !== undefined) end('failed', `${run.reason}; ${spent}`);
  else
    createAttempt(
      draft,
      trial,
      `attempt ${attempt + 1} of ${attemptsMax}, after: ${run.reason}`,
      run.attempt,
    );
}

/**
 * What was measured at the rung of a trial of a run that goes on behind it, if anything was; undefined where the run
 * has not passed it, or halts there.
 */
function passedRung(
  { fidelity, rungs }: TrialState,
  { id, evaluateStages, checkpoints }: RunState,
): { readonly measured?: Measured } | undefined {
  if (evaluateStages === undefined || fidelity === undefined) return undefined;
  const rung = rungs?.findLast((one) => one.runId === id && isSameFidelity(one.fidelity, fidelity));
  if (rung !== undefined) {
    const { objectives, measuredOn } = rung;
    return { measured: { objectives, ...(measuredOn === undefined ? {} : { measuredOn }) } };
  }
  return (checkpoints.at(-1)?.stage ?? 0) >= (fidelity.epochs ?? 0) ? {} : undefined;
}

/** The run of a promoted trial goes on from where it has halted, or another one with the same seed begins. */
function promote(draft: Draft, trial: TrialState, run: EndedRun): void {
  const { id: runId, attempt } = run;
  const { reason } = trial;
  if (fidelityKindOf(sweepOf(draft.state, trial.sweepId).spec.strategy) !== 'epochs') {
    createAttempt(draft, trial, reason, attempt);
    return;
  }
  const halted = leaseOf(draft.state, run);
  if (halted === undefined)
    createAttempt(
      draft,
      trial,
      `${reason}; no checkpoint of ${runId} is stored, so all epochs are computed`,
      attempt,
    );
  else
    emit(draft, {
      kind: 'run.continued',
      ...{ runId, ...haltOf(trial), reason: `from step ${halted.step}: ${reason}` },
    });
}

/** Epochs are a stage at which the run of the full evaluation halts; a part of anything else is a run of its own. */
function haltOf({ fidelity }: TrialState): { readonly haltStage?: number; readonly fidelity?: Fidelity } {
  if (fidelity === undefined) return {};
  return fidelity.epochs === undefined ? { fidelity } : { haltStage: fidelity.epochs };
}

/**
 * Where the run of an attempt halts to be judged, or is judged on its way: there too it halts where a result is known.
 */
function rungOf(draft: Draft, trial: TrialState, attempt: number) {
  const { facts, id: sweepId, job, spec } = sweepOf(draft.state, trial.sweepId);
  const halt = haltOf(trial);
  const evaluateStages = passedRungs(spec, trial.fidelity);
  if (evaluateStages === undefined) return halt;
  const asking = { ...{ facts, job, sweepId, attempt, ...halt }, trialId: trial.id, studentRunIds: [] };
  return resultFor(draft, asking) !== undefined ? halt : { evaluateStages };
}

/** `, 12.34 ms an image` where that was measured. */
const latencyText = (latency: number | undefined): string =>
  latency === undefined ? '' : `, ${latency.toFixed(2)} ms an image`;

/** ` after 3 of 9 epochs`, or what else it is less of the full evaluation. */
function afterText({ state }: Draft, { fidelity, sweepId }: TrialState): string {
  return fidelity === undefined ? '' : fidelityText(fidelity, sweepOf(state, sweepId).spec);
}

/** ` (reused run-7 of sweep-3)` of a run that was not computed. */
const reusedText = ({ reused, reason }: RunState): string => (reused === undefined ? '' : ` (${reason})`);

/** Creates the run of the next attempt; with the number of an attempt there was, one that gives the same bits. */
export function createAttempt(draft: Draft, trial: TrialState, reason: string, number?: number): void {
  const newest = trial.runIds.at(-1);
  const before = newest === undefined ? 0 : (runWith(draft.state, newest)?.attempt ?? trial.runIds.length);
  const attempt = number ?? before + 1;
  emit(draft, {
    kind: 'trial.attempted',
    ...{ trialId: trial.id, runId: nextId(draft.state, 'run'), attempt },
    ...rungOf(draft, trial, attempt),
    reason,
  });
  reuse(draft, trialOf(draft.state, trial.id).runIds.at(-1)!);
}
