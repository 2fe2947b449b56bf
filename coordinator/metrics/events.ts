// What is counted of the events of the journal, as they happen.

import { FAILURE_REASONS } from '../../core/metrics/coordinator-catalogue.ts';
import type { Input } from '../decisions/inputs.ts';
import type { Event, EventOf } from '../model/events.ts';
import {
  type EndedRun,
  isWhole,
  priorityOf,
  type RunState,
  runWith,
  type State,
  sweepOf,
  trialOf,
} from '../model/state.ts';
import { type FailureReason, lossReasonOf, type Registered } from './registered.ts';

/** Counts one event. `after`: the state with everything that was decided together with it. */
export function countEvent(metrics: Registered, event: Event, after: State): void {
  const { families } = metrics;
  switch (event.kind) {
    case 'sweep.submitted':
      metrics.begin('priority', String(sweepOf(after, event.sweepId).spec.priority));
      return;
    case 'run.created': {
      const run = runWith(after, event.runId);
      if (run !== undefined && isWhole(run)) metrics.begin('priority', String(priorityOf(run)));
      return;
    }
    case 'trial.proposed':
      families.transitions.inc({ from: 'none', to: 'queued' });
      return;
    case 'trial.promoted':
      families.transitions.inc({ from: 'done', to: 'queued' });
      return;
    case 'trial.ended':
      trialEnded(metrics, event, after);
      return;
    case 'trial.attempted':
      if ((event.attempt ?? 1) > 1) families.restarts.inc({ reason: 'failed' });
      return;
    case 'run.assigned':
      runAssigned(metrics, event, after);
      return;
    case 'run.finished':
    case 'run.halted':
    case 'embedding.ended':
      families.runsFinished.inc({ kind: kindOf(after, event.runId), outcome: 'done', reason: 'none' });
      return;
    case 'run.reused':
      families.resultsReused.inc({ kind: kindOf(after, event.runId) });
      return;
    case 'result.conflicted':
      families.resultsConflicting.inc();
      return;
    case 'run.failed': {
      const kind = kindOf(after, event.runId);
      families.runsFinished.inc({ kind, outcome: 'failed', reason: failureReasonOf(event.cause) });
      return;
    }
    case 'run.cancelled':
      families.runsFinished.inc({ kind: kindOf(after, event.runId), outcome: 'cancelled', reason: 'none' });
      return;
    case 'run.requeued':
      families.gangs.inc({ outcome: 'aborted' });
      return;
    case 'run.troubled':
      families.restarts.inc({ reason: event.cause ?? 'infrastructure' });
      return;
    case 'worker.lost':
      families.workersLost.inc({ reason: lossReasonOf(event.cause) });
      return;
    case 'store.collected':
      families.collectedBytes.inc(event.bytes);
      return;
    case 'input.refused':
      families.refusedInputs.inc({ input: event.input as Input['kind'] });
      return;
    default:
      return;
  }
}

function trialEnded({ families }: Registered, event: EventOf<'trial.ended'>, after: State): void {
  const trial = trialOf(after, event.trialId);
  const runs = [...(trial.searchRunIds ?? []), ...trial.runIds].map((id) => runWith(after, id));
  const ran = runs.some((run) => (run?.generation ?? 0) > 0);
  const outcome = event.state;
  const reason = outcome === 'failed' ? failureReasonOf(runs.at(-1)?.failureCause) : 'none';
  families.transitions.inc({ from: ran ? 'running' : 'queued', to: outcome });
  families.trialsFinished.inc({ outcome, reason });
  families.trialDuration.observe({ outcome }, (event.atMs - trial.createdAtMs) / 1000);
}

function runAssigned({ families }: Registered, event: EventOf<'run.assigned'>, after: State): void {
  families.gangs.inc({ outcome: 'ok' });
  const run = runWith(after, event.runId);
  if (run === undefined || event.generation > 1) return;
  const priority = isWhole(run) ? priorityOf(run) : sweepOf(after, run.sweepId).spec.priority;
  families.queueWait.observe({ priority: String(priority) }, (event.atMs - run.createdAtMs) / 1000);
  // A trial whose cells were searched for runs since its search does.
  const begins = isWhole(run) && run.forTrialId !== undefined;
  const isSearched = run.trialId !== undefined && trialOf(after, run.trialId).seed !== undefined;
  if (begins || (run.trialId !== undefined && !isSearched))
    families.transitions.inc({ from: 'queued', to: 'running' });
}

/** A run that is a summary by now was a candidate, as is one of a sweep that was removed since. */
function kindOf(state: State, runId: string): RunState['job']['kind'] {
  const run: RunState | EndedRun | undefined = runWith(state, runId);
  return run !== undefined && isWhole(run) ? run.job.kind : 'candidate';
}

/** The cause of a failure as a label. */
function failureReasonOf(cause: string | undefined): FailureReason {
  return FAILURE_REASONS.find((reason) => reason === cause && reason !== 'none') ?? 'other';
}
