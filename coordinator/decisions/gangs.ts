// Changes of gangs, and the commands that members get for them. Decides generations (each change is a new,
// larger one, so that messages of the old gang can be told from those of the new) and what becomes of a run
// that loses a member.

import type { RunSpec } from '../../core/spec/run.ts';
import { stateText } from '../../core/text/state-text.ts';
import type { Decided } from '../model/events.ts';
import { optional } from '../model/folding.ts';
import { embeddingRunOf } from '../model/orders.ts';
import { specOf } from '../model/spec-of.ts';
import {
  isWhole,
  type Member,
  type RunState,
  runOf,
  runWith,
  type State,
  wholeRunWith,
  workerWith,
} from '../model/state.ts';
import { rowAt } from '../model/table.ts';
import { rowsKeptFor } from '../scheduling/image-rows.ts';
import { placeShards } from '../scheduling/placement.ts';
import { replacementsFor } from '../scheduling/scheduler.ts';
import { boardOf, type Draft, emit, send } from './draft.ts';
import type { Command, LeaseClaim } from './inputs.ts';

/**
 * Gives a run these members in rank order, or with none puts it back into the queue. Members that are dropped
 * are released.
 */
export function setGang(
  draft: Draft,
  run: RunState,
  change: {
    workerIds: readonly string[];
    reason: string;
    /** A worker that is lost: there is nobody to release. */
    gone?: string;
    /** The shards of each member, where they have been decided. */
    members?: readonly Member[];
    /** As which a queued run is placed, where waiting has raised its priority. */
    agedPriority?: number;
    /** The damaged stage for which it goes back into the queue, as `run-1/3`. */
    waitsForStage?: string;
    /** The run that lends it workers. */
    lentByRunId?: string;
  },
): void {
  const { workerIds, reason, gone, lentByRunId } = change;
  const dropped = run.gang.filter(({ workerId }) => !workerIds.includes(workerId) && workerId !== gone);
  if (workerIds.length === 0) {
    const { waitsForStage } = change;
    emit(draft, {
      kind: 'run.requeued',
      runId: run.id,
      generation: run.generation,
      reason,
      ...(waitsForStage === undefined ? {} : { waitsForStage }),
    });
  } else {
    emit(draft, {
      kind: 'run.assigned',
      runId: run.id,
      generation: run.generation + 1,
      members:
        change.members ??
        placeShards(workerIds, run.job.training.shards, (id) => draft.context.speedOf?.(run.id, id)),
      deviceClass: workerWith(draft.state, workerIds[0]!)!.deviceClass,
      ...(change.agedPriority === undefined ? {} : { agedPriority: change.agedPriority }),
      ...(lentByRunId === undefined ? {} : { lentByRunId }),
      ...optional(
        'imageRows',
        rowsKeptFor(draft.state, run, {
          workers: workerIds.length,
          bytesMax: draft.context.imageRowsBytes ?? 0,
        }),
      ),
      reason,
    });
  }
  for (const { workerId } of dropped) release(draft, workerId, run, reason);
  for (const workerId of workerIds) send(draft, workerId, assignment(draft.state, run.id));
}

/**
 * Lets a run go on without this worker: with those that stay and others in its place, or later if nobody
 * stays. `workers.min` is what a run starts with; fewer than that go on when they stay, because their memory
 * is ahead of every checkpoint.
 */
export function leaveGang(
  draft: Draft,
  run: RunState,
  change: { workerId: string; reason: string; gone: boolean },
): void {
  const { min } = run.job.workers;
  const survivors = run.gang.map((member) => member.workerId).filter((id) => id !== change.workerId);
  const missing = survivors.length === 0 ? 0 : Math.max(0, min - survivors.length);
  const joining =
    missing === 0
      ? []
      : replacementsFor(boardOf(draft), { run, survivors, without: change.workerId, count: missing });
  const workerIds = [...survivors, ...joining];
  setGang(draft, run, {
    workerIds,
    reason:
      workerIds.length === 0
        ? `${change.reason}; nobody is left`
        : `${change.reason}; ${workerIds.length} go on`,
    ...(change.gone ? { gone: change.workerId } : {}),
  });
}

/** Ends a run with this event and lets its members go. */
export function endRun(draft: Draft, run: RunState, event: Decided, reason: string): void {
  emit(draft, event);
  releaseGang(draft, run, reason);
}

/** Lets the members of a gang go; the run has none any more. */
export function releaseGang(draft: Draft, run: RunState, reason: string): void {
  for (const { workerId } of run.gang) release(draft, workerId, run, reason);
}

/** Runs whose gang has this worker. */
export function runsHeldBy(state: State, workerId: string): RunState[] {
  return (workerWith(state, workerId)?.runs ?? []).flatMap((number) => {
    const run = rowAt(state.runs, number);
    return run !== undefined && isWhole(run) ? [run] : [];
  });
}

/**
 * Sends a worker that reports what it holds the difference to what it should hold: a release for each run
 * that it holds and should not, an assignment for each that it should hold and does not, or holds in an old
 * generation.
 */
export function reconcileLeases(draft: Draft, workerId: string, claims: readonly LeaseClaim[]): void {
  const held = runsHeldBy(draft.state, workerId);
  for (const claim of claims) {
    if (held.some((run) => run.id === claim.runId)) continue;
    const run = runWith(draft.state, claim.runId);
    const reason = run === undefined ? 'this fleet has no such run' : stateText(run.state, run.reason);
    send(draft, workerId, { kind: 'release', ...claim, reason });
  }
  for (const run of held) {
    const kept = claims.some((claim) => claim.runId === run.id && claim.generation === run.generation);
    if (!kept) send(draft, workerId, assignment(draft.state, run.id));
  }
}

function assignment(state: State, runId: string): Command {
  const run = runOf(state, runId);
  return {
    kind: 'assign',
    runId,
    generation: run.generation,
    spec: assignedSpec(state, run),
    members: run.gang,
    ...(run.teacherRunId === undefined
      ? {}
      : {
          teacherRunId: run.teacherRunId,
          teacherStages: wholeRunWith(state, run.teacherRunId)?.job.training.epochs ?? 0,
        }),
    ...optional('embeddingRunId', embeddingRunOf(state, run)?.id),
    ...optional('imageRowsBytes', run.imageRowsBytes),
    ...optional('dataDigest', run.facts.digest),
    ...optional('storedStage', run.checkpoints.findLast(({ held }) => held === undefined)?.stage),
    ...(run.state === 'pausing' ? { pauses: true as const } : {}),
    ...(run.pausedStep === undefined ? {} : { pausedStep: run.pausedStep.step }),
    ...(run.haltStage === undefined ? {} : { haltStage: run.haltStage }),
    ...(run.evaluateStages === undefined ? {} : { evaluateStages: stagesAhead(run) }),
  };
}

/** Of the stages at which it is verified those that it has not reported. */
function stagesAhead({ evaluateStages = [], checkpoints }: RunState): number[] {
  return evaluateStages.filter((stage) => stage > (checkpoints.at(-1)?.stage ?? 0));
}

/** The spec as a worker gets it: one that lacks memory computes activations again, which changes no bit. */
function assignedSpec(state: State, run: RunState): RunSpec {
  const spec = specOf(state, run);
  if (run.memory?.rung !== 'recompute') return spec;
  return { ...spec, training: { ...spec.training, recompute: true } };
}

function release(draft: Draft, workerId: string, run: RunState, reason: string): void {
  send(draft, workerId, { kind: 'release', runId: run.id, generation: run.generation, reason });
}
