// Pausing: what somebody pauses stands still with all its runs until it is resumed, and a run that gives its
// workers to a more urgent one waits for others. Decides which run is held back by whom, what its gang is told,
// and for how long a gang may store where it stands.
//
// A gang pauses in a generation of its own: its members agree on the newest committed step as after any change of
// the gang, and rank 0 stores the state after it (worker/run/pause.ts). So a member that is lost meanwhile changes
// nothing, and a gang that is lost as a whole leaves its newest checkpoint, as ever.

import { FleetError } from '../../core/errors.ts';
import { stateClaim } from '../../core/text/state-text.ts';
import type { EventOf } from '../model/events.ts';
import { workWithId } from '../model/find.ts';
import { heldBy, holderOf, idFieldOf, isPaused, openRunsOf, pausedTeacherOf } from '../model/holds.ts';
import {
  hasEnded,
  type RunState,
  runOf,
  storedStep,
  sweepWith,
  trialWith,
  wholeRunWith,
} from '../model/state.ts';
import { roundMsOf } from '../scheduling/estimates.ts';
import { type Draft, emit } from './draft.ts';
import { releaseGang, setGang } from './gangs.ts';
import type { Answer, Input, PausedReport } from './inputs.ts';

/**
 * How long a gang may take to store where it stands, milliseconds, beside the rounds below. After that its workers are
 * released, and the steps since the newest checkpoint are computed again.
 */
const PAUSE_MS_MAX = 120_000;
/** A round that is open is finished first, which its gang may begin anew when a member is lost. */
const PAUSE_ROUNDS = 2;

/** Pauses a plan, sweep, trial or run with what belongs to it; once more changes nothing. */
export function pause(draft: Draft, input: Extract<Input, { kind: 'pause' }>): () => Answer {
  const { id } = input;
  const reason = input.reason === '' ? 'by request' : input.reason;
  const { state } = draft;
  const thing = workWithId(state, id);
  if (hasEnded(thing))
    throw new FleetError('failedPrecondition', `${id} ${stateClaim(thing.state)}: there is nothing to pause`);
  const run = wholeRunWith(state, id);
  if (run === undefined ? thing.state !== 'paused' : !run.isHeld)
    emit(draft, { kind: 'work.paused', ...idFieldOf(state, id), reason });
  // Its runs pause in settle(), the same as after a coordinator that was killed right here.
  return () => ({ kind: 'paused', ids: [...new Set([id, ...openRunsOf(draft.state, id)])] });
}

/** Gives a plan, sweep, trial or run another priority, which counts at the next placement. */
export function prioritise(draft: Draft, input: Extract<Input, { kind: 'prioritise' }>): void {
  const { id, priority } = input;
  if (!Number.isInteger(priority) || priority < 0 || priority > 100)
    throw new FleetError(
      'invalidArgument',
      `priority: expected a whole number from 0 to 100, found ${priority}`,
    );
  const thing = workWithId(draft.state, id);
  if (hasEnded(thing))
    throw new FleetError('failedPrecondition', `${id} ${stateClaim(thing.state)}: it is placed no more`);
  const reason = input.reason === '' ? 'by request' : input.reason;
  emit(draft, { kind: 'work.prioritised', ...idFieldOf(draft.state, id), priority, reason });
}

/** Takes a paused thing back; undefined when it is not paused itself. Throws when what holds it is something else. */
export function resumePaused(
  draft: Draft,
  { id, reason }: { readonly id: string; readonly reason: string },
): (() => Answer) | undefined {
  const { state } = draft;
  const run = wholeRunWith(state, id);
  const isOwn = run === undefined ? isPaused(state, id) : run.isHeld === true && !hasEnded(run);
  if (!isOwn) {
    const part = sweepWith(state, id) ?? trialWith(state, id);
    const holder =
      run === undefined ? part && holderOf(state, part) : hasEnded(run) ? undefined : heldBy(state, run);
    if (holder === undefined) return undefined;
    throw new FleetError(
      'failedPrecondition',
      `${id} is paused with ${holder}: resume ${holder}, and ${id} goes on with it`,
    );
  }
  emit(draft, { kind: 'work.resumed', ...idFieldOf(state, id), reason });
  return () => ({ kind: 'resumed', ids: [...new Set([id, ...openRunsOf(draft.state, id)])] });
}

/** Brings an open run to where what holds it back, or no longer does, wants it. */
export function followPauses(draft: Draft, run: RunState): void {
  const { state } = draft;
  const holder = heldBy(state, run);
  if (holder !== undefined) {
    const reason = holder === run.id ? 'paused' : `paused with ${holder}`;
    if (run.state === 'queued')
      emit(draft, { kind: 'run.paused', runId: run.id, step: storedStep(run), isHeld: true, reason });
    else if (run.state === 'running') beginPausing(draft, run, { reason });
    return;
  }
  if (run.state === 'paused') {
    const { id: runId, generation } = run;
    emit(draft, { kind: 'run.requeued', runId, generation, reason: `goes on from step ${storedStep(run)}` });
    return;
  }
  const teacher = pausedTeacherOf(state, run);
  if (teacher !== undefined && run.state === 'running')
    beginPausing(draft, run, { reason: `its teacher ${teacher.id} is paused` });
}

/**
 * Tells a gang to pause. Returns false for a run whose last stage, or the one where it halts, is stored: it is being
 * verified, and ends by itself.
 */
export function beginPausing(
  draft: Draft,
  run: RunState,
  { reason, forRunId }: { readonly reason: string; readonly forRunId?: string },
): boolean {
  if (run.checkpoints.at(-1)?.stage === (run.haltStage ?? run.job.training.epochs)) return false;
  const given = forRunId === undefined ? {} : { forRunId };
  emit(draft, { kind: 'run.pausing', runId: run.id, ...given, reason });
  setGang(draft, runOf(draft.state, run.id), {
    workerIds: run.gang.map(({ workerId }) => workerId),
    members: run.gang,
    reason,
  });
  return true;
}

/** A gang has stored where it stands. */
export function takePause(draft: Draft, run: RunState, report: PausedReport & { workerId: string }): void {
  const { step, stored, workerId } = report;
  endPause(draft, run, {
    step,
    reason: reasonOf(run),
    workerId,
    ...(stored === undefined ? {} : { stored }),
  });
}

/** Releases gangs that have not stored where they stand within the time that they have. */
export function endOverduePauses(draft: Draft, numbers: Iterable<number>): void {
  for (const number of [...numbers]) {
    const run = wholeRunWith(draft.state, `run-${number}`);
    if (run?.state !== 'pausing' || run.pausing === undefined) continue;
    const allowedMs = PAUSE_MS_MAX + PAUSE_ROUNDS * (roundMsOf(run, draft.context) ?? 0);
    if (draft.context.now - run.pausing.sinceMs < allowedMs) continue;
    endPause(draft, run, {
      step: storedStep(run),
      reason: `${reasonOf(run)}; its gang did not store where it stood within ${Math.round(allowedMs / 1000)} s, and the steps since are computed again`,
    });
  }
}

/** Why the run pauses, whatever has become of its gang since. */
const reasonOf = ({ pausing, reason }: RunState): string => pausing?.reason ?? reason;

function endPause(
  draft: Draft,
  run: RunState,
  how: Pick<EventOf<'run.paused'>, 'step' | 'reason' | 'workerId' | 'stored'>,
): void {
  const isHeld = heldBy(draft.state, run) !== undefined;
  emit(draft, { kind: 'run.paused', runId: run.id, isHeld, ...how });
  releaseGang(draft, run, how.reason);
}
