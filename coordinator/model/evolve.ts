// The fold: (state, event) -> state. It decides and judges nothing and reads no clock: whatever is in the
// journal has happened, and an event carries everything that its effect depends on. So the same journal
// always gives the same state, whatever release reads it. Each event costs about the same, however much came
// before it.

import type { Event, EventOf } from './events.ts';
import { named } from './find.ts';
import { emptyMap, withEntry } from './persistent-map.ts';
import { appended, emptyRoll } from './roll.ts';
import {
  bestTrialFirst,
  type IdGap,
  type Member,
  NO_BLAME,
  type Noun,
  type PlanState,
  planOf,
  type RunState,
  runOf,
  type State,
  type SweepState,
  sweepOf,
  type TrialState,
  trialOf,
} from './state.ts';

/** The state after one more event; the one given stays as it is. */
export function evolve(before: State, event: Event): State {
  const state: State = { ...before, events: before.events + 1 };
  switch (event.kind) {
    case 'coordinator.started':
      return { ...state, epoch: event.epoch };
    case 'journal.truncated':
      return truncated(state, event);
    case 'plan.submitted':
      return planSubmitted(state, event);
    case 'plan.ended':
      return withoutOpen(
        withPlan(state, event.planId, { ...ended(event), ...optional('winnerRunId', event.winnerRunId) }),
        'openPlanIds',
        event.planId,
      );
    case 'sweep.submitted':
      return sweepSubmitted(state, event);
    case 'sweep.exhausted':
      return withSweep(state, event.sweepId, { trialsTotal: event.trialsTotal, reason: event.reason });
    case 'sweep.ended':
      return withoutOpen(withSweep(state, event.sweepId, ended(event)), 'openSweepIds', event.sweepId);
    case 'trial.proposed':
      return trialProposed(state, event);
    case 'trial.ended':
      return trialEnded(state, event);
    case 'run.created':
      return runCreated(state, event);
    case 'run.assigned':
      return runAssigned(state, event);
    case 'run.requeued':
      return withRun(state, event.runId, {
        state: 'queued',
        reason: event.reason,
        gang: [],
        changedAtMs: event.atMs,
        queuedAtMs: event.atMs,
      });
    case 'run.troubled':
      return runTroubled(state, event);
    case 'run.blamed':
      return withRun(state, event.runId, { blame: event.blame });
    case 'run.checkpointed':
      return runCheckpointed(state, event);
    case 'run.finished':
      return runEnded(state, event.runId, {
        ...ended({ state: 'done', reason: 'finished', atMs: event.atMs }),
        finalStep: event.step,
        weightsDigest: event.weightsDigest,
        ...optional('evaluation', event.evaluation),
      });
    case 'run.failed':
      return runEnded(state, event.runId, {
        ...ended({ state: 'failed', ...event }),
        failureCause: event.cause,
      });
    case 'run.cancelled':
      return runEnded(state, event.runId, ended({ state: 'cancelled', ...event }));
    case 'work.resumed':
      return workResumed(state, event);
    case 'worker.attached':
      return workerAttached(state, event);
    case 'worker.draining':
      return withWorker(state, event, 'draining');
    case 'worker.lost':
      return withWorker(state, event, 'lost');
  }
}

/**
 * Numbers of ids only grow: the stored checkpoints of a run-7 that was cut off must not become those of
 * another run-7.
 */
function truncated(state: State, { ids }: EventOf<'journal.truncated'>): State {
  const gaps = (noun: Noun): readonly IdGap[] => {
    const after = state[`${noun}s`].size;
    const skipped = ids[noun] - after;
    const known = state.idGaps[noun];
    return skipped > (known.at(-1)?.skipped ?? 0) ? [...known, { after, skipped }] : known;
  };
  const idGaps = { plan: gaps('plan'), sweep: gaps('sweep'), trial: gaps('trial'), run: gaps('run') };
  return { ...state, idGaps };
}

function planSubmitted(state: State, event: EventOf<'plan.submitted'>): State {
  const plan: PlanState = {
    id: event.planId,
    name: event.spec.name,
    state: 'running',
    reason: 'submitted',
    createdAtMs: event.atMs,
    spec: event.spec,
    yaml: event.yaml,
    facts: event.facts,
    studentRunIds: [],
    allRunIds: emptyRoll,
  };
  return {
    ...state,
    plans: withEntry(state.plans, plan.id, plan),
    names: named(state.names, { noun: 'plan', ...plan }),
    openPlanIds: new Set([...state.openPlanIds, plan.id]),
  };
}

function sweepSubmitted(before: State, event: EventOf<'sweep.submitted'>): State {
  const sweep: SweepState = {
    id: event.sweepId,
    name: event.spec.name,
    state: 'running',
    reason: 'submitted',
    createdAtMs: event.atMs,
    spec: event.spec,
    facts: event.facts,
    ...optional('planId', event.planId),
    trialsTotal: event.spec.strategy.trials,
    trialsProposed: 0,
    trialsDone: 0,
    trialsFailed: 0,
    trialIds: emptyRoll,
    allRunIds: emptyRoll,
    openTrialIds: [],
    nextDraw: 0,
    seen: emptyMap(),
    failuresInRow: NO_FAILURES,
  };
  const state =
    event.planId === undefined
      ? before
      : withPlan(before, event.planId, { sweepId: sweep.id, reason: `searching: ${sweep.id}` });
  return {
    ...state,
    sweeps: withEntry(state.sweeps, sweep.id, sweep),
    names: named(state.names, { noun: 'sweep', ...sweep }),
    openSweepIds: new Set([...state.openSweepIds, sweep.id]),
  };
}

function trialProposed(state: State, event: EventOf<'trial.proposed'>): State {
  const trial: TrialState = {
    id: event.trialId,
    sweepId: event.sweepId,
    number: event.number,
    state: 'queued',
    reason: 'proposed',
    createdAtMs: event.atMs,
    genotype: event.genotype,
    genotypeJson: event.genotypeJson,
    costs: event.costs,
    runIds: [],
  };
  const sweep = sweepOf(state, event.sweepId);
  return withSweep({ ...state, trials: withEntry(state.trials, trial.id, trial) }, sweep.id, {
    trialsProposed: sweep.trialsProposed + 1,
    trialIds: appended(sweep.trialIds, trial.id),
    openTrialIds: [...sweep.openTrialIds, trial.id],
    nextDraw: event.nextDraw,
    seen: withEntry(sweep.seen, event.genotypeJson, trial.id),
  });
}

function trialEnded(before: State, event: EventOf<'trial.ended'>): State {
  const state = withTrial(before, event.trialId, {
    ...ended(event),
    ...optional('objective', event.objective),
  });
  const trial = trialOf(state, event.trialId);
  const sweep = sweepOf(state, trial.sweepId);
  const best = sweep.bestTrialId === undefined ? undefined : trialOf(state, sweep.bestTrialId);
  return withSweep(state, sweep.id, {
    openTrialIds: sweep.openTrialIds.filter((id) => id !== trial.id),
    trialsDone: sweep.trialsDone + (event.state === 'done' ? 1 : 0),
    trialsFailed: sweep.trialsFailed + (event.state === 'failed' ? 1 : 0),
    failuresInRow: failuresAfter(state, sweep, trial),
    ...(event.state === 'done' && (best === undefined || bestTrialFirst(trial, best) < 0)
      ? { bestTrialId: trial.id }
      : {}),
  });
}

const NO_FAILURES = { cause: '', count: 0 };

/**
 * The count of failures for one cause in a row, after this trial. A cancelled trial says nothing about
 * causes.
 */
function failuresAfter(state: State, { failuresInRow }: SweepState, trial: TrialState) {
  if (trial.state === 'cancelled') return failuresInRow;
  if (trial.state === 'done') return NO_FAILURES;
  const newest = trial.runIds.at(-1);
  const cause = (newest === undefined ? undefined : runOf(state, newest).failureCause) ?? 'verification';
  return { cause, count: failuresInRow.cause === cause ? failuresInRow.count + 1 : 1 };
}

/** Makes a thing what it was before it ended, to be continued: what has been counted and stored stays. */
function workResumed(before: State, event: EventOf<'work.resumed'>): State {
  const { planId, sweepId, trialId, runId, reason, atMs } = event;
  let state = before;
  if (planId !== undefined) {
    const { endedAtMs: _ended, winnerRunId: _winner, ...plan } = planOf(state, planId);
    const plans = withEntry(state.plans, planId, { ...plan, state: 'running' as const, reason });
    state = { ...state, plans, openPlanIds: new Set([...state.openPlanIds, planId]) };
  }
  if (sweepId !== undefined) {
    const { endedAtMs: _ended, ...sweep } = sweepOf(state, sweepId);
    const change = { state: 'running' as const, reason, failuresInRow: NO_FAILURES };
    const sweeps = withEntry(state.sweeps, sweepId, { ...sweep, ...change });
    state = { ...state, sweeps, openSweepIds: new Set([...state.openSweepIds, sweepId]) };
  }
  if (trialId !== undefined) {
    const { endedAtMs: _ended, objective: _objective, ...trial } = trialOf(state, trialId);
    const trials = withEntry(state.trials, trialId, { ...trial, state: 'queued' as const, reason });
    const sweep = sweepOf(state, trial.sweepId);
    state = withSweep({ ...state, trials }, sweep.id, {
      openTrialIds: [...sweep.openTrialIds, trialId],
      trialsFailed: sweep.trialsFailed - (trial.state === 'failed' ? 1 : 0),
    });
  }
  if (runId !== undefined) {
    const { endedAtMs: _ended, failureCause: _cause, ...run } = runOf(state, runId);
    const fresh = {
      infrastructureFailures: 0,
      avoided: [],
      blame: NO_BLAME,
      changedAtMs: atMs,
      queuedAtMs: atMs,
    };
    const runs = withEntry(state.runs, runId, { ...run, ...fresh, state: 'queued' as const, reason });
    state = { ...state, runs, openRunIds: new Set([...state.openRunIds, runId]) };
  }
  return state;
}

function runCreated(before: State, event: EventOf<'run.created'>): State {
  const run: RunState = {
    id: event.runId,
    name: event.spec.name,
    state: 'queued',
    reason: event.reason,
    createdAtMs: event.atMs,
    spec: event.spec,
    facts: event.facts,
    costs: event.costs,
    ...optional('planId', event.planId),
    ...optional('sweepId', event.sweepId),
    ...optional('trialId', event.trialId),
    ...optional('teacherRunId', event.teacherRunId),
    generation: 0,
    gang: [],
    changedAtMs: event.atMs,
    queuedAtMs: event.atMs,
    infrastructureFailures: 0,
    avoided: [],
    blame: NO_BLAME,
    checkpoints: [],
  };
  let state: State = {
    ...before,
    runs: withEntry(before.runs, run.id, run),
    names: named(before.names, { noun: 'run', ...run }),
    openRunIds: new Set([...before.openRunIds, run.id]),
  };
  if (event.sweepId !== undefined) {
    const { allRunIds } = sweepOf(state, event.sweepId);
    state = withSweep(state, event.sweepId, { allRunIds: appended(allRunIds, run.id) });
  }
  if (event.planId !== undefined) {
    const { allRunIds } = planOf(state, event.planId);
    state = withPlan(state, event.planId, { allRunIds: appended(allRunIds, run.id) });
  }
  if (event.trialId !== undefined) {
    const { runIds } = trialOf(state, event.trialId);
    state = withTrial(state, event.trialId, { runIds: [...runIds, run.id], reason: event.reason });
  }
  if (event.planId !== undefined && event.role === 'teacher')
    state = withPlan(state, event.planId, { teacherRunId: run.id, reason: `training: ${run.id}` });
  if (event.planId !== undefined && event.role === 'student') {
    const { studentRunIds } = planOf(state, event.planId);
    state = withPlan(state, event.planId, {
      studentRunIds: [...studentRunIds, run.id],
      reason: 'training teacher and students',
    });
  }
  return state;
}

function runAssigned(before: State, event: EventOf<'run.assigned'>): State {
  const run = runOf(before, event.runId);
  const state = withRun(before, run.id, {
    state: 'running',
    reason: event.reason,
    generation: event.generation,
    gang: event.members as readonly Member[],
    deviceClass: run.deviceClass ?? event.deviceClass,
    startedAtMs: run.startedAtMs ?? event.atMs,
    changedAtMs: event.atMs,
  });
  if (run.trialId === undefined || trialOf(state, run.trialId).state === 'running') return state;
  return withTrial(state, run.trialId, { state: 'running', reason: event.reason });
}

/**
 * Workers that a run remembers to be kept from: in a large fleet the latest; the others are only tried again
 * sooner.
 */
const AVOIDED_MAX = 64;

function runTroubled(state: State, event: EventOf<'run.troubled'>): State {
  const { workerId, avoidUntilMs: untilMs, reason } = event;
  const { infrastructureFailures, avoided } = runOf(state, event.runId);
  const failures = (avoided.find((one) => one.workerId === workerId)?.failures ?? 0) + 1;
  const others = avoided.filter((one) => one.workerId !== workerId);
  return withRun(state, event.runId, {
    infrastructureFailures: infrastructureFailures + (event.ofPlace ? 0 : 1),
    avoided: [...others, { workerId, untilMs, failures, reason }].slice(-AVOIDED_MAX),
  });
}

function runCheckpointed(state: State, event: EventOf<'run.checkpointed'>): State {
  const run = runOf(state, event.runId);
  const { stage, step, bytes, digest } = event;
  const others = run.checkpoints.filter((checkpoint) => checkpoint.stage !== stage);
  return withRun(state, run.id, {
    checkpoints: [...others, { stage, step, bytes, digest, storedAtMs: event.atMs }].sort(
      (a, b) => a.stage - b.stage,
    ),
    infrastructureFailures: 0,
    avoided: run.avoided.filter(({ workerId }) => !run.gang.some((member) => member.workerId === workerId)),
    blame: NO_BLAME,
  });
}

function runEnded(state: State, id: string, change: Partial<RunState>): State {
  return withoutOpen(withRun(state, id, { ...change, gang: [] }), 'openRunIds', id);
}

function workerAttached(state: State, event: EventOf<'worker.attached'>): State {
  const { kind: _kind, atMs, workerId, ...facts } = event;
  const workers = new Map(state.workers);
  workers.set(workerId, { id: workerId, state: 'attached', changedAtMs: atMs, ...facts });
  return { ...state, workers };
}

function withWorker(
  state: State,
  event: EventOf<'worker.draining'> | EventOf<'worker.lost'>,
  now: 'draining' | 'lost',
): State {
  const worker = state.workers.get(event.workerId);
  if (worker === undefined) return state;
  const workers = new Map(state.workers);
  workers.set(worker.id, { ...worker, state: now, reason: event.reason, changedAtMs: event.atMs });
  return { ...state, workers };
}

function ended<S extends string>(event: { state: S; reason: string; atMs: number }) {
  return { state: event.state, reason: event.reason, endedAtMs: event.atMs };
}

/** A field that is there only when it has a value: in the state absent and undefined are different things. */
function optional<K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } {
  return (value === undefined ? {} : { [key]: value }) as { [P in K]?: V };
}

function withPlan(state: State, id: string, change: Partial<PlanState>): State {
  return { ...state, plans: withEntry(state.plans, id, { ...planOf(state, id), ...change }) };
}
function withSweep(state: State, id: string, change: Partial<SweepState>): State {
  return { ...state, sweeps: withEntry(state.sweeps, id, { ...sweepOf(state, id), ...change }) };
}
function withTrial(state: State, id: string, change: Partial<TrialState>): State {
  return { ...state, trials: withEntry(state.trials, id, { ...trialOf(state, id), ...change }) };
}
function withRun(state: State, id: string, change: Partial<RunState>): State {
  return { ...state, runs: withEntry(state.runs, id, { ...runOf(state, id), ...change }) };
}

function withoutOpen(state: State, key: 'openPlanIds' | 'openSweepIds' | 'openRunIds', id: string): State {
  const open = new Set(state[key]);
  open.delete(id);
  return { ...state, [key]: open };
}
