// What people see of a run's steps: metrics, progress reports, points of the history, waits for a teacher.
// Decides which member publishes what and how often. Nothing here is awaited by a step.

import type { ExchangeStats } from '../../core/allreduce/exchange.ts';
import { every } from '../../core/clock.ts';
import { STEP_PHASES } from '../../core/metrics/worker-catalogue.ts';
import type { Schedule } from '../../core/spec/schedule.ts';
import type { StepPoint } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { createRate, createThrottle, PROGRESS_INTERVAL_MS } from '../training/rate.ts';
import type { UnitTimes } from '../training/train.ts';
import { historyStride, type Records } from './history.ts';
import type { Services } from './services.ts';

export interface Telemetry {
  /** A unit of training is committed. */
  recordUnit(event: {
    readonly point: StepPoint;
    readonly times: UnitTimes;
    /** Of a search's step that is probed. */
    readonly differenceError?: number | undefined;
    readonly generation: number;
    readonly rank: number;
    readonly shards: number;
    readonly schedule: Schedule;
    readonly stats: Readonly<ExchangeStats>;
    readonly records: Records;
  }): void;
  /** So many steps of the open round are trained by all own shards. */
  recordRound(event: {
    readonly generation: number;
    readonly rank: number;
    /** Committed steps. */
    readonly step: number;
    readonly openRoundSteps: number;
  }): void;
  /** An embedding run has made or found all blocks of its own shards before `step`. */
  recordEmbedded(event: { readonly generation: number; readonly rank: number; readonly step: number }): void;
  /**
   * A generation begins. Every member publishes the newest points again, because the rank 0 before may have
   * died before it did so, and only those that were with it know them.
   */
  joined(event: { readonly members: number; readonly rank: number; readonly records: Records }): void;
  /**
   * Reports a wait for a teacher's stage now and each second, until it is over (`stage` undefined). `step`:
   * committed steps.
   */
  recordWait(stage: number | undefined, generation: number, step: number): void;
  /**
   * Images a second that this worker computes for the run, without its waits for others; undefined before the
   * first steps.
   */
  speed(): number | undefined;
  close(): void;
}

/** So many steps of a process are not timed: caches are cold, and graphs have never run. */
const STEPS_BEFORE_SPEED = 5;
const WAIT_REPEAT_MS = 1000;
/**
 * Points of so many milliseconds before the newest are kept for the next generation. A rank 0 took part in
 * the newest step, so that it was alive then and had sent what is older.
 */
const RECENT_MS = 30_000;

export function createTelemetry(services: Services, runId: string): Telemetry {
  const { metrics, clock } = services;
  const due = createThrottle(clock, PROGRESS_INTERVAL_MS);
  const run = { run: runId };
  metrics.beginRun(runId);
  let last: StepPoint | undefined;
  /** Points that belong to the history, oldest first. */
  let recent: { readonly point: StepPoint; readonly at: number }[] = [];
  let seen: Partial<ExchangeStats> = {};
  let stopRepeating: (() => void) | undefined;
  let waitingSince = 0;
  const ownRate = createRate();
  let speed: number | undefined;
  let stepsSeen = 0;

  const reportProgress = (
    point: StepPoint,
    generation: number,
    waitingForStage: number,
    openRoundSteps = 0,
  ) =>
    services.reportLatest({
      $case: 'progress',
      value: { runId, generation, point, waitingForStage, openRoundSteps },
    });

  /** Counts the wait up to now: an alert must not wait for its end. */
  const countWait = () => {
    const now = clock.monotonic();
    metrics.teacherWait.inc(run, (now - waitingSince) / 1000);
    waitingSince = now;
  };

  const keepRecent = (point: StepPoint) => {
    const at = clock.monotonic();
    recent.push({ point, at });
    if (recent[0]!.at < at - RECENT_MS) recent = recent.filter((known) => known.at >= at - RECENT_MS);
  };
  const measureStep = (point: StepPoint, times: UnitTimes, rank: number) => {
    metrics.steps.inc(run, times.steps);
    metrics.samples.inc(run, times.images);
    metrics.stepDuration.observe(run, times.total / times.steps);
    for (const phase of STEP_PHASES)
      metrics.phase.inc({ run: runId, phase }, times[phase === 'teacher_pass' ? 'teacherPass' : phase]);
    metrics.dataWait.inc(run, times.data);
    metrics.globalStep.set(run, point.step);
    metrics.epoch.set(run, point.epoch);
    metrics.loss.set(run, point.loss);
    metrics.learningRate.set(run, point.learningRate);
    metrics.gradientNorm.set(run, point.gradientNorm);
    metrics.allreduceDuration.observe(run, times.allreduce);
    metrics.allreduceWait.inc({ run: runId, rank: String(rank) }, times.allreduce);
    metrics.allreduceRounds.inc(run);
  };
  const measureWire = (stats: Readonly<ExchangeStats>, vectorBytes: number) => {
    const grown = (name: keyof ExchangeStats) => Math.max(0, stats[name] - (seen[name] ?? 0));
    metrics.allreduceBytes.inc({ run: runId, direction: 'sent' }, grown('bytesSent'));
    metrics.allreduceBytes.inc({ run: runId, direction: 'received' }, grown('bytesReceived'));
    metrics.allreduceBytes.inc({ run: runId, direction: 'shared' }, grown('bytesShared'));
    metrics.allreduceRetransmits.inc({ run: runId, kind: 'asked' }, grown('nacks'));
    metrics.allreduceRetransmits.inc({ run: runId, kind: 'sent' }, grown('resends'));
    metrics.allreduceTensorBytes.inc(run, vectorBytes);
    seen = { ...stats };
  };

  return {
    recordUnit({ point, times, differenceError, generation, rank, shards, schedule, stats, records }) {
      const from = point.step - times.steps;
      last = point;
      measureStep(point, times, rank);
      if (differenceError !== undefined) metrics.differenceError.set(run, differenceError);
      if (stepsSeen >= STEPS_BEFORE_SPEED) {
        speed = ownRate.add(times.images, times.compute);
        metrics.ownSpeed.set(run, speed);
      }
      stepsSeen += times.steps;
      measureWire(stats, times.vectorBytes * shards);
      const ends = point.step === schedule.stepsTotal;
      const stride = historyStride(schedule.stepsTotal);
      const isKept = ends || Math.floor(point.step / stride) > Math.floor(from / stride);
      if (isKept) keepRecent(point);
      if (rank !== 0) return;
      if (isKept) records.publishPoint(runId, point);
      if (due(ends)) reportProgress(point, generation, 0);
    },
    recordRound({ generation, rank, step, openRoundSteps }) {
      if (rank !== 0 || !due()) return;
      const known = last?.step === step ? last : undefined;
      reportProgress(known ?? pointBeforeSteps(step, clock.now()), generation, 0, openRoundSteps);
    },
    recordEmbedded({ generation, rank, step }) {
      if (rank === 0 && due()) reportProgress(pointBeforeSteps(step, clock.now()), generation, 0);
    },
    joined({ members, rank, records }) {
      seen = {};
      metrics.worldSize.set(run, members);
      metrics.reformations.inc(run);
      metrics.allreduceWait.inc({ run: runId, rank: String(rank) }, 0);

      for (const { point } of recent) records.publishPoint(runId, point);
    },
    recordWait(stage, generation, step) {
      const point = last ?? pointBeforeSteps(step, clock.now());
      stopRepeating?.();
      if (stopRepeating !== undefined) {
        countWait();
        stopRepeating = undefined;
        reportProgress(point, generation, 0);
      }
      if (stage === undefined) return;
      waitingSince = clock.monotonic();
      reportProgress(point, generation, stage);
      stopRepeating = every(WAIT_REPEAT_MS, () => {
        countWait();
        reportProgress(point, generation, stage);
      });
    },
    speed: () => speed,
    close() {
      stopRepeating?.();
      metrics.endRun(runId);
    },
  };
}

/** The point of a run that has committed no step in this process. */
function pointBeforeSteps(step: number, atMs: number): StepPoint {
  const unknown = Number.NaN;
  return {
    step,
    epoch: 0,
    loss: unknown,
    lossArcface: unknown,
    lossKd: unknown,
    learningRate: unknown,
    gradientNorm: unknown,
    imagesPerSecond: 0,
    atMs,
  };
}
