// The fold: (state, event) -> state. It decides and judges nothing and reads no clock: whatever is in the
// journal has happened, and an event carries everything that its effect depends on. So the same journal
// always gives the same state, whatever release reads it. Each event costs about the same, however much came
// before it and however much is open.

import { childName } from '../../core/spec/common.ts';
import type { PlanSpec } from '../../core/spec/plan.ts';
import { trialsOf } from '../../core/spec/strategy.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';
import { NO_SCREENING, withDrawn, withoutFirst, withScores } from '../strategies/screening.ts';
import { NONE_SKIPPED } from '../strategies/search.ts';
import { scoresOf } from '../strategies/standing.ts';
import { searchOf } from '../strategies/strategies.ts';
import type { Result } from '../strategies/strategy.ts';
import { closeAccount, countTrial, openAccount, shareOfWork } from './accounts.ts';
import { addCandidate, type Candidates, noCandidates, trialOfGenotype, withCandidate } from './candidates.ts';
import type { Event, EventOf } from './events.ts';
import { clockJumped } from './evolve-clock.ts';
import { runPaused, runPausing, stepDropped, workPaused, workPrioritised } from './evolve-pauses.ts';
import { workRemoved } from './evolve-removal.ts';
import { resultVoided } from './evolve-results.ts';
import {
  runAssigned,
  runBegun,
  runCheckpointed,
  runContinued,
  runEnded,
  runFinished,
  runHalted,
  runRequeued,
  runResumed,
  runReused,
  runTroubled,
  runTwinned,
  summarise,
} from './evolve-runs.ts';
import {
  stageDamaged,
  stageKept,
  stageLost,
  stageMended,
  stageReleased,
  stagesDropped,
} from './evolve-stages.ts';
import {
  closeWorkerAccount,
  noteStart,
  openWorkerAccount,
  timeRepeated,
  timeSpent,
  timeStored,
} from './evolve-time.ts';
import { workerAttached, workerChanged } from './evolve-workers.ts';
import { named } from './find.ts';
import {
  changePlan,
  changeRun,
  changeSweep,
  changeTrial,
  draftOfSweep,
  draftOfTrial,
  ended,
  moveTrial,
  optional,
  recount,
  took,
  trialCount,
  type Working,
  withNewest,
  withNumber,
  withoutNumber,
  workingOn,
} from './folding.ts';
import { isBeingJudged } from './halted.ts';
import { identityOfTeacher, protocolOfSweep } from './identity.ts';
import { frontTrialsWith, hasFront } from './kept-trials.ts';
import { bestTrialFirst } from './leaderboard.ts';
import { countedOn } from './measured.ts';
import { lookup, withEntry, withoutEntry } from './persistent-map.ts';
import { appended, emptyRoll } from './roll.ts';
import { candidateJob, costsAt } from './spec-of.ts';
import {
  hasEnded,
  hasGang,
  initialState,
  newestRunOf,
  numberOf,
  type PlanState,
  planOf,
  planWith,
  runOf,
  runWith,
  type State,
  type SweepState,
  sweepOf,
  type TrialState,
  trialOf,
  wholeRunWith,
} from './state.ts';
import { Edit, emptyTable, withRow } from './table.ts';
import { priorsOf } from './warm-start.ts';

/** Submissions that are remembered; a repetition comes within minutes. */
const SUBMISSIONS_MAX = 10_000;

/**
 * The state after one more event. The one given stays as it is, except for what was made under `edit`: a fold
 * over many events passes one edit, and gets one state that changes, which nobody else looks at before the last.
 */
export function evolve(before: State, event: Event, edit: Edit = new Edit()): State {
  const w = workingOn(before, edit);
  w.events += 1;
  takeIn(w, event);
  // The edit stays in it unseen: another copy of every field would cost as much as the event itself.
  return w;
}

/** A fold over many events at once, of which nobody sees a state before the last. */
export interface Fold {
  add(event: Event): void;
  /** The state so far; no event is added after it. */
  readonly state: State;
}

/**
 * A fold that changes rows in place, which takes half the time of `evolve`. `from`: a state that nobody else has,
 * such as one that was just decoded; the beginning when it is absent.
 */
export function createFold(from: State = initialState): Fold {
  const w = workingOn(from, new Edit(), true);
  return {
    add(event) {
      w.events += 1;
      takeIn(w, event);
    },
    get state() {
      return { ...w, ownsRows: false, edit: new Edit() };
    },
  };
}

/** What is charged by an event is charged up to its time. */
function takeIn(w: Working, event: Event): void {
  const { lastMs } = w;
  if (event.atMs > lastMs) w.lastMs = event.atMs;
  apply(w, event, lastMs);
}

/** `beforeMs`: the time of the event before. */
function apply(w: Working, event: Event, beforeMs: number): void {
  switch (event.kind) {
    // First what a long journal consists of: the kind of an event that was read is compared with one after the other.
    case 'run.checkpointed':
      runCheckpointed(w, event);
      timeStored(w, event.runId, event.stage);
      return;
    case 'stage.dropped':
      stagesDropped(w, event);
      return;
    case 'run.assigned':
      runAssigned(w, event);
      return;
    case 'trial.proposed':
      trialProposed(w, event);
      return;
    case 'trial.found':
      trialFound(w, event);
      return;
    case 'trial.attempted':
      trialAttempted(w, event);
      return;
    case 'run.finished':
      runFinished(w, event);
      return;
    case 'trial.ended':
      trialEnded(w, event);
      return;
    case 'run.halted':
      runHalted(w, event);
      return;
    case 'run.continued':
      runContinued(w, event);
      return;
    case 'candidates.drawn':
      candidatesDrawn(w, event);
      return;
    case 'candidates.scored':
      candidatesScored(w, event);
      return;
    case 'trial.promoted':
      trialPromoted(w, event);
      return;
    case 'trial.stopped':
      trialStopped(w, event);
      return;
    case 'input.refused':
    case 'store.collected':
    case 'run.exported':
    case 'calls.refused':
      return;
    case 'clock.jumped':
      clockJumped(w, event);
      return;
    case 'scheduling.configured':
      w.usageHalfLifeMs = event.usageHalfLifeMs;
      w.quotas = event.quotas;
      w.workerKinds = event.workerKinds ?? [];
      return;
    case 'token.created':
      w.tokens = withEntry(w.tokens, event.token.fingerprint, event.token, w.edit);
      return;
    case 'token.revoked':
      w.tokens = withoutEntry(w.tokens, event.token.fingerprint, w.edit);
      return;
    case 'coordinator.started':
      w.epoch = event.epoch;
      noteStart(w, beforeMs);
      return;
    case 'journal.truncated':
      truncated(w, event);
      return;
    case 'spec.recorded':
      w.specs = withEntry(w.specs, event.digest, event.spec, w.edit);
      return;
    case 'submission.taken':
      submissionTaken(w, event);
      return;
    case 'plan.submitted':
      planSubmitted(w, event);
      return;
    case 'plan.ended':
      changePlan(w, event.planId, { ...ended(event), ...optional('winnerRunId', event.winnerRunId) });
      w.openPlans = withoutNumber(w.openPlans, event.planId, w.edit);
      closeAccount(w, shareOfWork(planOf(w, event.planId)));
      return;
    case 'sweep.submitted':
      sweepSubmitted(w, event);
      return;
    case 'sweep.exhausted':
      changeSweep(w, event.sweepId, { trialsTotal: event.trialsTotal, reason: event.reason });
      return;
    case 'sweep.ended':
      changeSweep(w, event.sweepId, ended(event));
      w.openSweeps = withoutNumber(w.openSweeps, event.sweepId, w.edit);
      if (sweepOf(w, event.sweepId).planId === undefined)
        closeAccount(w, shareOfWork(sweepOf(w, event.sweepId)));
      return;
    case 'work.resumed':
      workResumed(w, event);
      return;
    case 'run.created':
      runCreated(w, event);
      return;
    case 'run.requeued':
      timeRepeated(w, event.runId);
      runRequeued(w, event);
      return;
    case 'run.pausing':
      runPausing(w, event);
      return;
    case 'run.paused':
      timeStored(w, event.runId, Number.POSITIVE_INFINITY);
      runPaused(w, event);
      return;
    case 'step.dropped':
      stepDropped(w, event);
      return;
    case 'work.paused':
      workPaused(w, event);
      return;
    case 'work.prioritised':
      workPrioritised(w, event);
      return;
    case 'run.troubled':
      runTroubled(w, event);
      return;
    case 'run.blamed':
      changeRun(w, event.runId, { blame: event.blame });
      return;
    case 'stage.kept':
      stageKept(w, event);
      return;
    case 'stage.released':
      stageReleased(w, event);
      return;
    case 'stage.damaged':
      stageDamaged(w, event);
      return;
    case 'stage.mended':
      stageMended(w, event);
      return;
    case 'stage.lost':
      stageLost(w, event);
      return;
    case 'work.removed':
      workRemoved(w, event);
      return;
    case 'run.reused':
      runReused(w, event);
      return;
    case 'run.twinned':
      runTwinned(w, event);
      return;
    case 'result.conflicted':
      resultVoided(w, event.runId);
      return;
    case 'run.failed':
      runEnded(w, event.runId, { ...ended({ state: 'failed', ...event }), failureCause: event.cause });
      return;
    case 'run.cancelled':
      runEnded(w, event.runId, ended({ state: 'cancelled', ...event }));
      return;
    case 'embedding.ended':
      runEnded(w, event.runId, ended({ state: 'done', ...event }));
      return;
    case 'worker.attached':
      workerAttached(w, event);
      openWorkerAccount(w, event);
      return;
    case 'worker.spent':
      timeSpent(w, event);
      return;
    case 'worker.draining':
      workerChanged(w, event, 'draining');
      return;
    case 'worker.undrained':
      workerChanged(w, event, 'attached');
      return;
    case 'worker.lost':
      closeWorkerAccount(w, event);
      workerChanged(w, event, 'lost');
      return;
  }
}

/**
 * Numbers of ids only grow: the stored checkpoints of a run-7 that was cut off must not become those of
 * another run-7.
 */
function truncated(w: Working, { ids }: EventOf<'journal.truncated'>): void {
  const { plan, sweep, trial, run } = w.numbers;
  if (ids.run > run) w.cutOffRuns = [...w.cutOffRuns, { after: run, upTo: ids.run }];
  w.numbers = {
    plan: Math.max(plan, ids.plan),
    sweep: Math.max(sweep, ids.sweep),
    trial: Math.max(trial, ids.trial),
    run: Math.max(run, ids.run),
  };
}

function submissionTaken(w: Working, event: EventOf<'submission.taken'>): void {
  const { requestId: key, digest, planIds, sweepIds, runIds } = event;
  const value = { digest, planIds, sweepIds, runIds };
  w.submissions = withNewest(w.submissions, { key, value, max: SUBMISSIONS_MAX, edit: w.edit });
}

/** The spec that an event names by digest. */
function specNamed<S>(w: Working, digest: string): S {
  const spec = lookup(w.specs, digest);
  if (spec === undefined) throw new Error(`no spec with digest ${digest} was recorded before`);
  return spec as S;
}

function planSubmitted(w: Working, event: EventOf<'plan.submitted'>): void {
  const spec = specNamed<PlanSpec>(w, event.spec);
  const plan: PlanState = {
    id: event.planId,
    name: spec.name,
    state: 'running',
    reason: 'submitted',
    createdAtMs: event.atMs,
    spec,
    yaml: event.yaml,
    facts: event.facts,
    ...optional('owner', event.by?.name),
    studentRunIds: [],
    allRunIds: emptyRoll,
  };
  openAccount(w, shareOfWork(plan));
  took(w, 'plan', plan.id);
  recount(w, undefined, 'plan running');
  w.plans = withRow(w.plans, numberOf(plan.id), plan, w.edit);
  w.names = named(w.names, { noun: 'plan', ...plan }, w.edit);
  w.openPlans = withNumber(w.openPlans, plan.id, w.edit);
}

function sweepSubmitted(w: Working, event: EventOf<'sweep.submitted'>): void {
  const spec = specNamed<SweepSpec>(w, event.spec);
  const sweep: SweepState = {
    id: event.sweepId,
    name: spec.name,
    state: 'running',
    reason: 'submitted',
    createdAtMs: event.atMs,
    spec,
    facts: event.facts,
    ...optional('planId', event.planId),
    ...optional('owner', event.planId === undefined ? event.by?.name : planWith(w, event.planId)?.owner),
    ...optional('priority', event.planId === undefined ? undefined : planOf(w, event.planId).priority),
    trialsTotal: trialsOf(spec.strategy),
    trialsProposed: 0,
    trialsDone: 0,
    trialsFailed: 0,
    trialIds: emptyRoll,
    allRunIds: emptyRoll,
    openTrials: emptyTable(),
    endedBadly: emptyTable(),
    search: searchOf(spec).begin(event.lag ?? 1, priorsOf(w, spec, event.start)),
    candidates: noCandidates(),
    ...(spec.screening === undefined ? {} : { screening: NO_SCREENING }),
    ...optional('teacherRunId', event.teacherRunId),
    job: candidateJob(spec),
    protocol: protocolOfSweep(spec, event.facts, identityOfTeacher(w, event.teacherRunId)),
    failuresInRow: NO_FAILURES,
  };
  const teacher = event.teacherRunId === undefined ? undefined : wholeRunWith(w, event.teacherRunId);
  if (teacher !== undefined)
    changeRun(w, teacher.id, { taughtSweepIds: [...(teacher.taughtSweepIds ?? []), sweep.id] });
  if (sweep.planId === undefined) openAccount(w, shareOfWork(sweep));
  took(w, 'sweep', sweep.id);
  recount(w, undefined, 'sweep running');
  if (event.planId !== undefined)
    changePlan(w, event.planId, { sweepId: sweep.id, reason: `searching: ${sweep.id}` });
  w.sweeps = withRow(w.sweeps, numberOf(sweep.id), sweep, w.edit);
  w.names = named(w.names, { noun: 'sweep', ...sweep }, w.edit);
  w.openSweeps = withNumber(w.openSweeps, sweep.id, w.edit);
}

function trialProposed(w: Working, event: EventOf<'trial.proposed'>): void {
  const trial: { -readonly [K in keyof TrialState]: TrialState[K] } = {
    id: event.trialId,
    sweepId: event.sweepId,
    number: event.number,
    state: 'queued',
    reason: 'proposed',
    createdAtMs: event.atMs,
    genotypeKey: event.genotype,
    costs: event.costs,
    runIds: [],
  };
  const sweep = sweepOf(w, event.sweepId);
  const move = sweep.search.moves + 1;
  if (move !== trial.number) trial.move = move;
  if (event.fidelity !== undefined) trial.fidelity = event.fidelity;
  if (event.screened !== undefined) trial.screened = event.screened;
  if (event.seed !== undefined) trial.seed = event.seed;
  const number = numberOf(trial.id);
  countTrial(w, sweep.owner ?? '', 1);
  took(w, 'trial', trial.id);
  recount(w, undefined, 'trial queued');
  w.trials = withRow(w.trials, number, trial, w.edit);
  const candidates =
    event.genotype === '' ? sweep.candidates : withKnown(w, sweep.candidates, event.genotype, number);
  const draft = draftOfSweep(w, sweep.id);
  if (event.screened !== undefined) draft.screening = withoutFirst(sweep.screening!);
  draft.trialsProposed += 1;
  draft.trialIds = appended(sweep.trialIds, number, w.edit);
  draft.openTrials = withNumber(sweep.openTrials, trial.id, w.edit);
  draft.search = searchOf(sweep.spec).made(sweep.search, {
    kind: event.seed === undefined ? 'evaluate' : 'search',
    trial: event.number,
    key: event.genotype,
    cursor: cursorOf(event),
    ...(event.fidelity && { fidelity: event.fidelity }),
  });
  draft.candidates = candidates;
}

function withKnown(w: Working, candidates: Candidates, key: string, number: number): Candidates {
  if (!w.ownsRows) return withCandidate(candidates, key, number, w.edit);
  addCandidate(candidates, key, number);
  return candidates;
}

function candidatesDrawn(w: Working, event: EventOf<'candidates.drawn'>): void {
  const { sweepId, candidates, cursor, isDrawn } = event;
  const { search, screening = NO_SCREENING } = sweepOf(w, sweepId);
  changeSweep(w, sweepId, {
    search: { ...search, cursor: { ...cursor, skipped: NONE_SKIPPED } },
    screening: withDrawn(screening, candidates, isDrawn),
  });
}

/** Scores are there; with the last of a group those that are not among its best are known and never trained. */
function candidatesScored(w: Working, { sweepId, group, scores }: EventOf<'candidates.scored'>): void {
  const { screening: before = NO_SCREENING, spec, candidates } = sweepOf(w, sweepId);
  const { screening, cut } = withScores(before, spec.screening!, scores);
  let known = candidates;
  for (const { genotype } of cut) known = withKnown(w, known, genotype, -group);
  changeSweep(w, sweepId, { screening, candidates: known });
}

function cursorOf({ cursor, strategy }: EventOf<'trial.proposed'>) {
  if (cursor !== undefined) return cursor;
  const { nextDraw = 0, walked } = strategy ?? {};
  return { draws: nextDraw, ...optional('walked', walked) };
}

/** A trial that is done goes on with more epochs; its result so far stays until there is another. */
function trialPromoted(w: Working, event: EventOf<'trial.promoted'>): void {
  const { trialId, reason, fidelity, cursor } = event;
  const { endedAtMs: _ended, fidelity: _before, ...trial } = trialOf(w, trialId);
  const sweep = sweepOf(w, trial.sweepId);
  countTrial(w, sweep.owner ?? '', 1);
  const move = sweep.search.moves + 1;
  const newest = wholeRunWith(w, trial.runIds.at(-1) ?? '');
  // The run of one that goes on while it is judged has its workers.
  const state = newest !== undefined && hasGang(newest) ? 'running' : 'queued';
  const change = { state, reason, move, ...optional('fidelity', fidelity) } as const;
  recount(w, trialCount(trial.state), trialCount(state));
  w.trials = withRow(w.trials, numberOf(trialId), { ...trial, ...change }, w.edit);
  changeSweep(w, sweep.id, {
    openTrials: withNumber(sweep.openTrials, trialId, w.edit),
    trialsDone: sweep.trialsDone - 1,
    search: searchOf(sweep.spec).made(sweep.search, {
      ...{ kind: 'promote', trial: trial.number, key: trial.genotypeKey, cursor },
      ...optional('fidelity', fidelity),
    }),
  });
}

function trialStopped(w: Working, { trialId, reason, cursor }: EventOf<'trial.stopped'>): void {
  const { number: trial, genotypeKey: key, sweepId } = trialOf(w, trialId);
  const { spec, search } = sweepOf(w, sweepId);
  changeTrial(w, trialId, { reason, isStopped: true });
  for (const runId of trialOf(w, trialId).runIds) summarise(w, runId);
  changeSweep(w, sweepId, { search: searchOf(spec).made(search, { kind: 'stop', trial, key, cursor }) });
}

function trialAttempted(w: Working, event: EventOf<'trial.attempted'>): void {
  const trial = trialOf(w, event.trialId);
  const sweep = sweepOf(w, trial.sweepId);
  runBegun(w, event, {
    attempt: event.attempt ?? trial.runIds.length + 1,
    name: childName(sweep.name, String(trial.number)),
    job: sweep.job,
    facts: sweep.facts,
    costs: costsAt(sweep, trial, event.fidelity),
    planId: sweep.planId,
    sweepId: sweep.id,
    trialId: trial.id,
    fidelity: event.fidelity,
    haltStage: event.haltStage,
    evaluateStages: event.evaluateStages,
    teacherRunId: sweep.teacherRunId,
    priority: trial.priority ?? sweep.priority,
  });
  draftOfSweep(w, sweep.id).allRunIds = appended(sweep.allRunIds, numberOf(event.runId), w.edit);
  const draft = draftOfTrial(w, trial.id);
  // A list that a spread makes has room for sixteen more, which would be an eighth of what a long past takes.
  draft.runIds = trial.runIds.length === 0 ? [event.runId] : [...trial.runIds, event.runId];
  draft.reason = event.reason;
}

/** The search of a trial has ended: the trial has its candidate, which another trial may have too. */
function trialFound(w: Working, { trialId, genotype, costs, reason }: EventOf<'trial.found'>): void {
  const { state, sweepId } = trialOf(w, trialId);
  const now = state === 'running' ? { state: 'queued' as const } : {};
  changeTrial(w, trialId, { genotypeKey: genotype, costs, reason, ...now });
  const { candidates } = sweepOf(w, sweepId);
  if (trialOfGenotype(candidates, genotype) !== undefined) return;
  changeSweep(w, sweepId, { candidates: withKnown(w, candidates, genotype, numberOf(trialId)) });
}

function trialEnded(w: Working, event: EventOf<'trial.ended'>): void {
  const { state } = event;
  const { trialId, objectives, measuredOn } = event;
  const trial = draftOfTrial(w, trialId);
  moveTrial(w, trial, state);
  trial.reason = event.reason;
  trial.endedAtMs = event.atMs;
  if (objectives !== undefined) trial.objectives = objectives;
  if (measuredOn !== undefined) trial.measuredOn = measuredOn;
  const sweep = draftOfSweep(w, trial.sweepId);
  countTrial(w, sweep.owner ?? '', -1);
  sweep.openTrials = withoutNumber(sweep.openTrials, trial.id, w.edit);
  sweep.failuresInRow = failuresAfter(w, sweep, trial);
  sweep.search = searchOf(sweep.spec).ended(sweep.search, resultOf(sweep.spec, trial));
  if (state === 'done') sweep.trialsDone += 1;
  if (state === 'done' && measuredOn !== undefined) sweep.measuredOn = countedOn(sweep, measuredOn);
  if (state === 'failed') sweep.trialsFailed += 1;
  if (state !== 'done') sweep.endedBadly = withNumber(sweep.endedBadly, trial.id, w.edit);
  else if (isBest(w, sweep, trial)) sweep.bestTrialId = trial.id;
  if (state === 'done' && hasFront(sweep))
    sweep.frontTrialIds = frontTrialsWith(sweep, trial, (id) => trialOf(w, id));
  // What failed or was cancelled may be continued, and stays as it is.
  if (state !== 'done') return;
  for (const runId of trial.runIds) {
    const run = wholeRunWith(w, runId);
    if (run !== undefined && !isBeingJudged(w, run)) summarise(w, runId);
  }
}

/** How the newest move of a trial came out. */
function resultOf(spec: SweepSpec, trial: TrialState): Result {
  const { number, move = number, objectives = {}, costs, state, reason } = trial;
  const scores = state === 'done' ? scoresOf(spec, { objectives, costs }) : undefined;
  if (scores !== undefined) return { move, kind: 'measured', scores };
  return { move, kind: state === 'cancelled' ? 'cancelled' : 'failed', reason };
}

function isBest(w: Working, sweep: SweepState, trial: TrialState): boolean {
  return sweep.bestTrialId === undefined || bestTrialFirst(sweep)(trial, trialOf(w, sweep.bestTrialId)) < 0;
}

const NO_FAILURES = { cause: '', count: 0 };

/**
 * The count of failures for one cause in a row, after this trial. A cancelled trial says nothing about
 * causes.
 */
function failuresAfter(w: Working, { failuresInRow }: SweepState, trial: TrialState) {
  if (trial.state === 'cancelled') return failuresInRow;
  if (trial.state === 'done') return NO_FAILURES;
  const newest = newestRunOf(trial);
  const cause = (newest === undefined ? undefined : runWith(w, newest)?.failureCause) ?? 'verification';
  return { cause, count: failuresInRow.cause === cause ? failuresInRow.count + 1 : 1 };
}

/** Makes a thing what it was before it ended, to be continued: what has been counted and stored stays. */
function workResumed(w: Working, event: EventOf<'work.resumed'>): void {
  const { planId, sweepId, trialId, runId, reason } = event;
  if (planId !== undefined) {
    const { endedAtMs: _ended, winnerRunId: _winner, ...plan } = planOf(w, planId);
    recount(w, `plan ${plan.state}`, 'plan running');
    w.plans = withRow(w.plans, numberOf(planId), { ...plan, state: 'running', reason }, w.edit);
    w.openPlans = withNumber(w.openPlans, planId, w.edit);
    if (hasEnded(plan)) openAccount(w, shareOfWork(planOf(w, planId)));
  }
  if (sweepId !== undefined) {
    const { endedAtMs: _ended, ...before } = sweepOf(w, sweepId);
    const { spent: _spent, ...clean } = before;
    // Who lets something go on that has ended gives it its budget again.
    const sweep = hasEnded(before) ? clean : before;
    const fresh = hasEnded(sweep) ? { failuresInRow: NO_FAILURES } : {};
    const change = { state: 'running' as const, reason, ...fresh };
    recount(w, `sweep ${sweep.state}`, 'sweep running');
    w.sweeps = withRow(w.sweeps, numberOf(sweepId), { ...sweep, ...change }, w.edit);
    w.openSweeps = withNumber(w.openSweeps, sweepId, w.edit);
    if (sweep.planId === undefined && hasEnded(sweep)) openAccount(w, shareOfWork(sweepOf(w, sweepId)));
  }
  if (trialId !== undefined) trialResumed(w, trialId, reason);
  if (runId !== undefined) runResumed(w, runId, event);
}

/** One that was paused is open already, and keeps what it has. */
function trialResumed(w: Working, trialId: string, reason: string): void {
  const before = trialOf(w, trialId);
  if (!hasEnded(before)) {
    const newest = newestRunOf(before);
    const run = newest === undefined ? undefined : runWith(w, newest);
    changeTrial(w, trialId, { state: run !== undefined && hasGang(run) ? 'running' : 'queued', reason });
    return;
  }
  const { endedAtMs: _ended, objectives: _objectives, measuredOn: _class, ...trial } = before;
  recount(w, trialCount(trial.state), trialCount('queued'));
  w.trials = withRow(w.trials, numberOf(trialId), { ...trial, state: 'queued', reason }, w.edit);
  const sweep = sweepOf(w, trial.sweepId);
  countTrial(w, sweep.owner ?? '', 1);
  changeSweep(w, sweep.id, {
    openTrials: withNumber(sweep.openTrials, trialId, w.edit),
    endedBadly: withoutNumber(sweep.endedBadly, trialId, w.edit),
    trialsFailed: sweep.trialsFailed - (trial.state === 'failed' ? 1 : 0),
  });
}

function runCreated(w: Working, event: EventOf<'run.created'>): void {
  const { spec: digest, role, planId, runId, teacherRunId } = event;
  const job = specNamed<SweepState['job'] & { name: string }>(w, digest);
  const { facts, costs } = event;
  const trial = event.trialId === undefined ? undefined : trialOf(w, event.trialId);
  if (trial !== undefined) {
    searchBegun(w, event, { trial, job });
    return;
  }
  runBegun(w, event, {
    attempt: 1,
    name: job.name,
    job,
    facts,
    costs,
    planId,
    teacherRunId,
    priority: planId === undefined ? undefined : planOf(w, planId).priority,
    ...(planId === undefined && { owner: event.owner ?? event.by?.name }),
    deviceClass: event.deviceClass,
  });
  w.names = named(w.names, { noun: 'run', name: job.name, id: runId }, w.edit);
  if (planId === undefined) return;
  if (role === 'search') changePlan(w, planId, { searchRunId: runId, reason: `searching: ${runId}` });
  if (role === 'teacher') changePlan(w, planId, { teacherRunId: runId, reason: `training: ${runId}` });
  if (role === 'student') {
    const { studentRunIds } = planOf(w, planId);
    changePlan(w, planId, {
      studentRunIds: [...studentRunIds, runId],
      reason: 'training teacher and students',
    });
  }
}

/** The search for the cells of a trial begins. */
function searchBegun(
  w: Working,
  event: EventOf<'run.created'>,
  { trial, job }: { readonly trial: TrialState; readonly job: SweepState['job'] & { name: string } },
): void {
  const { runId, facts, costs, reason } = event;
  const sweep = sweepOf(w, trial.sweepId);
  const before = trial.searchRunIds?.at(-1);
  const attempt = before === undefined ? 1 : runOf(w, before).attempt + 1;
  runBegun(w, event, {
    ...{ attempt, name: job.name, job, facts, costs },
    ...{ planId: sweep.planId, sweepId: sweep.id, forTrialId: trial.id },
    priority: trial.priority ?? sweep.priority,
  });
  w.names = named(w.names, { noun: 'run', name: job.name, id: runId }, w.edit);
  changeSweep(w, sweep.id, { allRunIds: appended(sweep.allRunIds, numberOf(runId), w.edit) });
  changeTrial(w, trial.id, { searchRunIds: [...(trial.searchRunIds ?? []), runId], reason });
}
