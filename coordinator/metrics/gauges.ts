// What the coordinator's gauges show, filled from the state when they are scraped. Decides how many runs and
// workers get series of their own.

import {
  HELD_UP_BY,
  RUN_KINDS,
  RUN_STATES,
  type STREAM_KINDS,
  WAIT_REASONS,
  WHOLE_STATES,
  WORK_STATES,
  WORKER_STATES,
} from '../../core/metrics/coordinator-catalogue.ts';
import type { Role } from '../../core/net/roles.ts';
import { haltedAt, scheduleOf } from '../../core/spec/schedule.ts';
import { valuesOf } from '../model/persistent-map.ts';
import {
  openRuns,
  type RunState,
  type State,
  sweepOf,
  sweepWith,
  trialOf,
  type WorkerState,
} from '../model/state.ts';
import { rowsOf } from '../model/table.ts';
import type { Waits } from '../scheduling/waits.ts';
import type { StoreState } from '../store/store-state.ts';
import { type CoordinatorFamilies, lossReasonOf } from './registered.ts';
import { createRunActivity, type Reached, type RunActivity } from './run-activity.ts';
import type { FleetSeconds } from './worker-seconds.ts';

/** The newest report about a run. */
export interface RunProgress extends Reached {
  /** What it waits for with its workers; undefined: it does not wait. */
  readonly waitsFor: (typeof HELD_UP_BY)[number] | undefined;
}

/** What the gauges read when they are scraped. */
export interface Gauged {
  /** Undefined while the journal was not read. */
  readonly state: State | undefined;
  /** Where the time of workers went so far; undefined while the journal was not read. */
  readonly time: FleetSeconds | undefined;
  /** What each queued run waits for. */
  readonly waiting: Waits;
  /** How many workers the open runs could use. */
  workersDesired(): number;
  readonly natsConnected: boolean;
  readonly leads: boolean;
  readonly halted: boolean;
  readonly store: StoreState;
  /** Milliseconds since the epoch; undefined: it has no certificate. */
  readonly certificateExpiryMs: number | undefined;
  /** Tokens of the file that expire, and when, milliseconds since the epoch. */
  readonly tokenExpiries: readonly { readonly name: string; readonly role: Role; readonly atMs: number }[];
  /** By what they hold: bytes, and how many they may have; 0: no limit of their own. */
  readonly streams: readonly {
    readonly kind: (typeof STREAM_KINDS)[number];
    readonly bytes: number;
    readonly bytesMax: number;
  }[];
  /** Milliseconds since the epoch. */
  lastSeenMs(workerId: string): number | undefined;
  /** Of a running run; undefined before its first report. */
  progressOf(run: RunState): RunProgress | undefined;
}

/** Fills the gauges. */
export interface Gauges {
  /** `endedSweepIds`: sweeps that ended lately and are still shown. */
  fill(gauged: Gauged, at: { readonly nowMs: number; readonly endedSweepIds: readonly string[] }): void;
}

/** Running runs with series of their own: more would be more than a scrape takes. The oldest are shown. */
const RUNS_MAX = 2_000;
/** Lost workers that are shown, the latest first. */
const LOST_MAX = 100;

/** Of these families. */
export function createGauges(families: CoordinatorFamilies): Gauges {
  const activity = createRunActivity();
  return {
    fill(gauged, { nowMs, endedSweepIds }) {
      const { state, leads, halted, natsConnected, store } = gauged;
      families.leader.set(leads ? 1 : 0);
      families.halted.set(halted ? 1 : 0);
      families.natsConnected.set({ component: 'coordinator' }, natsConnected ? 1 : 0);
      if (state !== undefined) families.epoch.set(state.epoch);
      for (const family of [...leadersOnly(families), families.certificateExpiry, families.tokenExpiry])
        family.reset();
      const { certificateExpiryMs, tokenExpiries } = gauged;
      if (certificateExpiryMs !== undefined)
        families.certificateExpiry.set({ component: 'coordinator' }, certificateExpiryMs / 1000);
      for (const { name, role, atMs } of tokenExpiries)
        families.tokenExpiry.set({ token: name, role }, atMs / 1000);
      if (state === undefined || !leads) return;
      fillStore(families, store, gauged.streams);
      fillCounts(families, state);
      fillSweeps(families, state, endedSweepIds);
      fillWorkers(families, state, gauged.lastSeenMs);
      fillRuns(families, activity, { gauged, state, nowMs });
    },
  };
}

/** What the leader alone shows: two replicas that show the same would be counted twice. */
function leadersOnly(families: CoordinatorFamilies): readonly { reset(): void }[] {
  const { plans, sweeps, trials, runs, bestObjective, budgetUsed, runInfo, runProgressAt } = families;
  const { unschedulable, workers, gpus, heartbeatAt, lostAt, workersDesired: desired } = families;
  const { streamBytes, streamLimit, storeBytes, storeBlocked } = families;
  return [
    ...[plans, sweeps, trials, runs, bestObjective, budgetUsed, runInfo, runProgressAt],
    ...[unschedulable, families.waitingRuns, workers, gpus, heartbeatAt, lostAt, desired],
    ...[streamBytes, streamLimit, storeBytes, storeBlocked],
  ];
}

function fillStore(families: CoordinatorFamilies, store: StoreState, streams: Gauged['streams']): void {
  families.storeBytes.set({ kind: 'used' }, store.usedBytes);
  if (store.limitBytes > 0) families.storeBytes.set({ kind: 'limit' }, store.limitBytes);
  for (const { kind, bytes, bytesMax } of streams) {
    families.streamBytes.set({ stream: kind }, bytes);
    if (bytesMax > 0) families.streamLimit.set({ stream: kind }, bytesMax);
  }
  for (const state of ['full', 'silent'] as const)
    families.storeBlocked.set({ state }, store.kind === state ? 1 : 0);
}

/** A state without things is 0 and not absent, so that a panel shows a line from the start. */
function fillCounts(families: CoordinatorFamilies, { counts }: State): void {
  const count = (key: string) => counts[key] ?? 0;
  for (const state of WHOLE_STATES) {
    families.plans.set({ state }, count(`plan ${state}`));
    families.sweeps.set({ state }, count(`sweep ${state}`));
  }
  for (const state of WORK_STATES) families.trials.set({ state }, count(`trial ${state}`));
  for (const state of RUN_STATES)
    for (const kind of RUN_KINDS) families.runs.set({ kind, state }, count(`run ${kind} ${state}`));
}

function fillSweeps(families: CoordinatorFamilies, state: State, endedIds: readonly string[]): void {
  const openIds = [...rowsOf(state.openSweeps)].map(([number]) => `sweep-${number}`);
  for (const id of new Set([...openIds, ...endedIds])) {
    if (sweepWith(state, id) === undefined) continue;
    const { bestTrialId, trialsTotal, trialsDone, trialsFailed } = sweepOf(state, id);
    if (trialsTotal > 0) families.budgetUsed.set({ sweep: id }, (trialsDone + trialsFailed) / trialsTotal);
    const accuracy = bestTrialId === undefined ? undefined : trialOf(state, bestTrialId).objectives?.accuracy;
    if (accuracy !== undefined) families.bestObjective.set({ sweep: id, objective: 'accuracy' }, accuracy);
  }
}

/** What a worker does, as a label. */
function doingOf({ state, runs }: WorkerState): (typeof WORKER_STATES)[number] {
  if (state !== 'attached') return state;
  return runs.length > 0 ? 'busy' : 'idle';
}

function fillWorkers(
  families: CoordinatorFamilies,
  state: State,
  lastSeenMs: (id: string) => number | undefined,
): void {
  const { workers, gpus, heartbeatAt, lostAt } = families;
  for (const doing of WORKER_STATES) workers.set({ state: doing }, 0);
  const lost: WorkerState[] = [];
  for (const worker of valuesOf(state.workers)) {
    const doing = doingOf(worker);
    workers.inc({ state: doing });
    if (worker.deviceKind !== 'cpu')
      gpus.inc({ state: doing, gpu_model: worker.deviceName }, worker.deviceCount ?? 1);
    const seenMs = lastSeenMs(worker.id);
    if (doing === 'lost') lost.push(worker);
    else if (seenMs !== undefined) heartbeatAt.set({ worker: worker.id }, seenMs / 1000);
  }
  lost.sort((a, b) => b.changedAtMs - a.changedAtMs);
  for (const { id, lossCause, changedAtMs } of lost.slice(0, LOST_MAX))
    lostAt.set({ worker: id, reason: lossReasonOf(lossCause) }, changedAtMs / 1000);
}

function fillRuns(
  families: CoordinatorFamilies,
  activity: RunActivity,
  at: { readonly gauged: Gauged; readonly state: State; readonly nowMs: number },
): void {
  const { gauged, state, nowMs } = at;
  const { unschedulable, runInfo, runProgressAt, workersDesired: desired } = families;
  for (const reason of WAIT_REASONS) unschedulable.set({ reason }, 0);
  for (const [reason, count] of gauged.waiting.counts()) unschedulable.set({ reason }, count);
  const open = openRuns(state);
  desired.set(gauged.workersDesired());
  const running = open.filter((run) => run.state === 'running').slice(0, RUNS_MAX);
  activity.keepOnly(new Set(running.map(({ id }) => id)));
  for (const reason of HELD_UP_BY) families.waitingRuns.set({ reason }, 0);
  for (const run of running) {
    const { id, sweepId, job } = run;
    runInfo.set({ run: id, kind: job.kind, sweep: sweepId ?? '' }, 1);
    const progress = gauged.progressOf(run);
    if (progress?.waitsFor !== undefined) families.waitingRuns.inc({ reason: progress.waitsFor });
    if (progress?.waitsFor !== undefined || progress?.step === stepsTotalOf(run)) continue;
    const reached = progress ?? { generation: run.generation, step: 0, openRoundSteps: 0 };
    runProgressAt.set({ run: id }, activity.seen(id, reached, nowMs) / 1000);
  }
}

function stepsTotalOf({ job, haltStage, facts }: RunState): number {
  return haltedAt(scheduleOf(job.training, facts.trainingImages), haltStage).stepsTotal;
}
