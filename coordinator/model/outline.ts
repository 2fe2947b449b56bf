// A run that has left memory as far as it can be shown without reading the journal.

import { childName } from './spec-of.ts';
import { type EndedRun, NO_BLAME, type RunState, type State, sweepOf, trialOf } from './state.ts';

/** The run without its checkpoints, and with no more of its evaluation than the accuracy. */
export function outlineOf(state: State, summary: EndedRun): RunState {
  const sweep = sweepOf(state, summary.sweepId);
  const trial = trialOf(state, summary.trialId);
  const { accuracy, stages: _stages, halted: _halted, ...known } = summary;
  const unknown = Number.NaN;
  const evaluation =
    accuracy === undefined
      ? {}
      : {
          evaluation: {
            ...{ accuracy, accuracyStd: unknown, auc: unknown, eer: unknown, tarAtFar: unknown, pairs: 0 },
          },
        };
  return {
    ...known,
    ...evaluation,
    name: childName(sweep.name, String(trial.number)),
    job: sweep.job,
    facts: sweep.facts,
    costs: trial.costs,
    ...(sweep.planId === undefined ? {} : { planId: sweep.planId }),
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
