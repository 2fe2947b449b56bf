// Why a run stays queued: what that is in words and as the label of a metric, and what keeps a run from
// starting whatever workers are free.

import { awaitedStage, pausedTeacherOf } from '../model/holds.ts';
import { lookup } from '../model/persistent-map.ts';
import { type RunState, type State, wholeRunWith } from '../model/state.ts';

/**
 * Why a run stays queued. The kind is a closed list, because it is the label of a metric; the reason is a
 * sentence with numbers for a person. Neither is journalled.
 */
export interface Wait {
  readonly kind:
    | 'twin'
    | 'teacher_not_started'
    | 'teacher_paused'
    | 'teacher_stage'
    | 'stage_damaged'
    | 'model_mismatch'
    | 'quota'
    | 'reserved'
    | 'insufficient_workers';
  readonly reason: string;
}

/**
 * Why a run cannot start whatever workers are free: a student needs a teacher that has begun or has stored a
 * checkpoint, and a stored stage that cannot be read is computed again first. A student that gave its workers away
 * while it waited for a stage waits here until that is stored. One that computes the same as a run that trains waits
 * for its result.
 */
export function notStartable(state: State, run: RunState): Wait | undefined {
  const { waitsForStage, teacherRunId, twinRunId } = run;
  if (twinRunId !== undefined) return { kind: 'twin', reason: `queued: ${run.reason}` };
  if (waitsForStage !== undefined && lookup(state.damaged, waitsForStage) !== undefined)
    return { kind: 'stage_damaged', reason: run.reason };
  if (teacherRunId === undefined) return undefined;
  const teacher = wholeRunWith(state, teacherRunId);
  if (teacher === undefined) return undefined;
  if (pausedTeacherOf(state, run) !== undefined)
    return { kind: 'teacher_paused', reason: `queued: its teacher ${teacher.id} is paused` };
  const awaited = run.preemptedAtMs === undefined ? undefined : awaitedStage(state, run);
  if (awaited !== undefined)
    return {
      kind: 'teacher_stage',
      reason: `queued: its teacher ${teacher.id} has not stored stage ${awaited.stage} yet`,
    };
  return teacher.state === 'running' || teacher.state === 'done' || teacher.checkpoints.length > 0
    ? undefined
    : { kind: 'teacher_not_started', reason: `queued: its teacher ${teacher.id} has not started` };
}
