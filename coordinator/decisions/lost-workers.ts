// What becomes of runs when a worker is lost or reports that it cannot go on. Decides what is charged to
// whom, when a run has had its tries, and for how long a run is kept from a worker that failed it. Failures
// of a place (a disk, a mount) are charged to nobody and only make the pauses longer, since they can last and
// are not the run's; losses are charged to a run only when they speak against it. A run for which memory was short
// gets more of it before it fails.

import { type Backoff, delayMs } from '../../core/retry.ts';
import type { EventOf } from '../model/events.ts';
import { valuesOf } from '../model/persistent-map.ts';
import { type LossCause, type RunState, runOf, workerWith } from '../model/state.ts';
import { blameFor, isConvicted } from '../scheduling/blame.ts';
import { kindOf, traitsOf } from '../scheduling/board.ts';
import { deviceOf } from '../scheduling/devices.ts';
import { fitsClass } from '../scheduling/fit.ts';
import { afterShortage, mayChangeClass } from '../scheduling/memory.ts';
import { boardOf, type Draft, emit } from './draft.ts';
import { endRun, leaveGang, runsHeldBy, setGang } from './gangs.ts';
import type { Report } from './inputs.ts';
import { reportDamage } from './stages.ts';
import { endOfTime } from './worker-time.ts';

/**
 * Failures reported as infrastructure that a run survives without a checkpoint in between; those of a place
 * do not count.
 */
const INFRASTRUCTURE_FAILURES_MAX = 10;
/**
 * How long a run is kept from the worker that failed it. The journal replays decisions, so no chance may
 * enter here or below.
 */
const AVOID: Backoff = { firstMs: 1_000, maxMs: 30_000, jitter: 0 };
/**
 * The same after a failure of the worker's place: a full disk stays full for a while, hence the longer
 * pauses.
 */
const AVOID_PLACE: Backoff = { firstMs: 1_000, maxMs: 300_000, jitter: 0 };

/** Takes a worker for lost. A verdict about an earlier process of it is void. */
export function loseWorker(
  draft: Draft,
  loss: {
    readonly workerId: string;
    readonly incarnation: string;
    readonly cause: LossCause;
    readonly reason: string;
    readonly goneAtMs?: number;
  },
): void {
  const { workerId, incarnation, cause, reason } = loss;
  const worker = workerWith(draft.state, workerId);
  if (worker === undefined || worker.incarnation !== incarnation || worker.state === 'lost') return;
  const time = endOfTime(draft, worker, cause);
  emit(draft, { kind: 'worker.lost', workerId, incarnation, cause, reason, ...time });
  draft.effects.push({ kind: 'disconnect', workerId, incarnation });
  const held = runsHeldBy(draft.state, workerId);
  for (const run of held) {
    const others = held.filter((other) => other.id !== run.id).map((other) => other.id);
    const judged = blameFor(run, { workerId, why: reason, goneAtMs: loss.goneAtMs, others }, draft.context);
    if (judged !== undefined) emit(draft, { kind: 'run.blamed', runId: run.id, workerId, ...judged });
    if (judged !== undefined && isConvicted(judged.blame)) endCrasher(draft, run, workerId, judged);
    else leaveGang(draft, run, { workerId, reason: `${workerId} was lost: ${reason}`, gone: true });
  }
}

/** Ends a run that probably kills whatever holds it. */
function endCrasher(
  draft: Draft,
  run: RunState,
  workerId: string,
  { blame }: { readonly blame: { readonly losses: number; readonly step: number } },
): void {
  const reason = `${blame.losses} workers in a row were lost holding it and nothing else, and it never got beyond step ${blame.step}: it probably crashes the process that computes it; last ${workerId}, see \`pocketfleet why ${run.id}\``;
  const event: Omit<EventOf<'run.failed'>, 'atMs'> = {
    kind: 'run.failed',
    runId: run.id,
    cause: 'crash',
    reason,
    workerId,
    step: blame.step,
  };
  endRun(draft, run, event, reason);
}

/** A member reported that it cannot go on with a run. */
export function failRun(
  draft: Draft,
  run: RunState,
  report: Extract<Report, { kind: 'failed' }> & { workerId: string },
): void {
  const { cause, message, workerId, ofPlace = false } = report;
  // Not the run's fault, and another worker would read the same bytes: it waits until the stage is mended.
  const damage = report.damaged && reportDamage(draft, report.damaged, { workerId, reason: message });
  if (report.damaged !== undefined && damage?.isLost === false) {
    const { runId, stage } = report.damaged;
    setGang(draft, run, {
      workerIds: [],
      waitsForStage: `${runId}/${stage}`,
      reason: `waits until stage ${stage} of ${runId} is computed again: ${message}`,
    });
    return;
  }
  if (damage !== undefined) {
    const { reason } = damage;
    endRun(draft, run, { kind: 'run.failed', runId: run.id, cause, reason, workerId }, reason);
    return;
  }
  if (cause === 'out_of_memory') {
    relieve(draft, run, report);
    return;
  }
  const failures = run.infrastructureFailures + 1;
  const elsewhere = cause === 'infrastructure';
  if (!elsewhere || (!ofPlace && failures >= INFRASTRUCTURE_FAILURES_MAX)) {
    const reason = elsewhere ? `${message} (on ${workerId}; ${failures} failures in a row)` : message;
    endRun(draft, run, failureOf(run, report, reason), reason);
    return;
  }
  emit(draft, {
    kind: 'run.troubled',
    runId: run.id,
    workerId,
    avoidUntilMs: draft.context.now + (ofPlace ? placePauseMs(run, workerId) : delayMs(AVOID, failures)),
    reason: `${cause}: ${message}`,
    cause,
    ...(ofPlace ? { ofPlace } : {}),
  });
  leaveGang(draft, runOf(draft.state, run.id), {
    workerId,
    reason: `${workerId} could not go on: ${message}`,
    gone: false,
  });
}

type FailedReport = Extract<Report, { kind: 'failed' }> & { workerId: string };

function failureOf(
  run: RunState,
  { cause, workerId, step, tensor, value, bytesWanted }: FailedReport,
  reason: string,
): Omit<EventOf<'run.failed'>, 'atMs'> {
  return {
    kind: 'run.failed',
    ...{ runId: run.id, cause, reason, workerId, step },
    ...(tensor === undefined ? {} : { tensor }),
    ...(value === undefined ? {} : { value }),
    ...(bytesWanted === undefined ? {} : { bytesWanted }),
  };
}

/** A worker had too little memory for a run: it gets more of it, one step at a time, until nothing is left to give. */
function relieve(draft: Draft, run: RunState, report: FailedReport): void {
  const { workerId, bytesWanted, message } = report;
  const board = boardOf(draft);
  const worker = workerWith(draft.state, workerId)!;
  const { memoryGb } = traitsOf(worker);
  const { memory: _short, deviceClass, ...other } = run;
  const anywhere = deviceClass === undefined || mayChangeClass(run) ? other : { ...other, deviceClass };
  const elsewhereGb = new Map<string, number>();
  for (const candidate of valuesOf(draft.state.workers))
    if (candidate.state === 'attached' && fitsClass(anywhere, kindOf(candidate)))
      elsewhereGb.set(deviceOf(candidate), traitsOf(candidate).memoryGb);
  const step = afterShortage({
    ...{ run, workerId, memoryGb, bytesWanted },
    others: board.devices.heldOn(deviceOf(worker)) - 1,
    elsewhereGb: [...elsewhereGb.values()],
  });
  const reason = `${step.reason}; the worker said: ${message}`;
  if (step.need === undefined) {
    endRun(draft, run, failureOf(run, report, reason), reason);
    return;
  }
  emit(draft, {
    kind: 'run.troubled',
    ...{ runId: run.id, workerId, reason, cause: 'out_of_memory', memory: step.need },
    avoidUntilMs: draft.context.now,
    ...(bytesWanted === undefined ? {} : { bytesWanted }),
  });
  leaveGang(draft, runOf(draft.state, run.id), { workerId, reason: step.reason, gone: false });
}

/** How long a run is kept from a worker whose disk or mount has failed it once more, milliseconds. */
function placePauseMs(run: RunState, workerId: string): number {
  const before = run.avoided.find((one) => one.workerId === workerId)?.failures ?? 0;
  return delayMs(AVOID_PLACE, before + 1);
}
