// What events do to the stored stages of a run: what retention leaves of them, what is kept by request, what
// was damaged and mended.

import type { EventOf } from './events.ts';
import { changeRun, type Working } from './folding.ts';
import { isKeptTrial } from './kept-trials.ts';
import { withEntry, withoutEntry } from './persistent-map.ts';
import { type CheckpointState, type EndedRun, isWhole, numberOf, runWith, sweepWith } from './state.ts';
import { withRow } from './table.ts';

/** Something of a run's stages is not stored any more. A run that has left memory has no stages here. */
export function stagesDropped(w: Working, event: EventOf<'stage.dropped'>): void {
  const { runId, stages, parts, isAgain } = event;
  leftMemory(w, event);
  if (isAgain) {
    forgetStages(w, runId, stages);
    return;
  }
  const held = parts === 'state' ? 'network' : 'nothing';
  if (w.ownsRows) dropInPlace(runWith(w, runId), stages, held);
  else changeStages(w, runId, stages, (one) => withHeld(one, held));
}

/** Takes stages out of the list of a run. */
function forgetStages(w: Working, runId: string, stages: readonly number[] = []): void {
  const run = runWith(w, runId);
  if (run === undefined || !isWhole(run)) return;
  changeRun(w, runId, { checkpoints: run.checkpoints.filter(({ stage }) => !stages.includes(stage)) });
  for (const stage of stages) w.damaged = withoutEntry(w.damaged, `${runId}/${stage}`, w.edit);
}

/** As below, on stages that nobody has seen: journals of releases before have one for each stage of a candidate. */
function dropInPlace(
  run: ReturnType<typeof runWith>,
  stages: readonly number[] | undefined,
  held: 'network' | 'nothing',
): void {
  if (run === undefined || !isWhole(run)) return;
  for (const one of run.checkpoints)
    if (stages === undefined || stages.includes(one.stage))
      (one as { held?: CheckpointState['held'] }).held = held;
}

/** The stages once those before `stage` have gone that nobody has asked for: another one has taken their place. */
export function withoutEarlier(
  checkpoints: readonly CheckpointState[],
  stage: number,
): readonly CheckpointState[] {
  return checkpoints.map((one) => (isPassed(one, stage) ? withHeld(one, 'nothing') : one));
}

/** The same on stages that nobody has seen. */
export function dropEarlierInPlace(checkpoints: readonly CheckpointState[], stage: number): void {
  for (const one of checkpoints)
    if (isPassed(one, stage)) (one as { held?: CheckpointState['held'] }).held = 'nothing';
}

const isPassed = (one: CheckpointState, stage: number): boolean =>
  one.stage < stage && one.kept === undefined && one.held !== 'nothing';

/**
 * A run that has left memory cannot go on from a stage that is gone, and none is kept any more that was kept by
 * request, or because its trial is among the best.
 */
function leftMemory(w: Working, { runId, stages }: EventOf<'stage.dropped'>): void {
  const run = runWith(w, runId);
  if (run === undefined || isWhole(run)) return;
  const goes = (stage: number) => stages === undefined || stages.includes(stage);
  const sweep = sweepWith(w, run.sweepId);
  const isLetGo = goes(run.stages) && sweep !== undefined && isKeptTrial(sweep, run.trialId);
  const isHaltedGone = run.halted !== undefined && goes(run.halted.stage);
  if (!isLetGo && !isHaltedGone && run.kept === undefined) return;
  const { halted, kept = [], ...rest } = run;
  const stay = kept.filter(({ stage }) => !goes(stage));
  const left: EndedRun = {
    ...rest,
    ...(halted === undefined || isHaltedGone ? {} : { halted }),
    ...(stay.length === 0 ? {} : { kept: stay }),
    ...(isLetGo && { isLetGo }),
  };
  w.runs = withRow(w.runs, numberOf(runId), left, w.edit);
}

/** Nearly every stage that goes is a plain one; its fields by name take a tenth of what a spread does. */
function withHeld(one: CheckpointState, held: 'network' | 'nothing'): CheckpointState {
  if (one.kept !== undefined || one.damage !== undefined || one.found !== undefined) return { ...one, held };
  const { stage, step, bytes, digest, storedAtMs } = one;
  return { stage, step, bytes, digest, storedAtMs, held };
}

/** A stage stays as it is, by request. */
export function stageKept(w: Working, { runId, stage, reason }: EventOf<'stage.kept'>): void {
  const run = runWith(w, runId);
  if (run !== undefined && !isWhole(run)) {
    const { kept: before = [], halted } = run;
    const kept = [...before, { stage, kept: reason }].sort((a, b) => a.stage - b.stage);
    const marked = halted?.stage === stage ? { halted: { ...halted, kept: reason } } : {};
    w.runs = withRow(w.runs, numberOf(runId), { ...run, kept, ...marked }, w.edit);
    return;
  }
  changeStages(w, runId, [stage], (one) => ({ ...one, kept: reason }));
}

/** Retention decides about a stage again. */
export function stageReleased(w: Working, { runId, stage }: EventOf<'stage.released'>): void {
  const run = runWith(w, runId);
  if (run !== undefined && !isWhole(run) && run.kept !== undefined) {
    const { kept, halted, ...rest } = run;
    const stay = kept.filter((one) => one.stage !== stage);
    const left: EndedRun = {
      ...rest,
      ...(halted === undefined ? {} : { halted: halted.stage === stage ? released(halted) : halted }),
      ...(stay.length === 0 ? {} : { kept: stay }),
    };
    w.runs = withRow(w.runs, numberOf(runId), left, w.edit);
    return;
  }
  changeStages(w, runId, [stage], released);
}

const released = ({ kept: _kept, ...rest }: CheckpointState): CheckpointState => rest;

/** A stage cannot be read, and is computed again. */
export function stageDamaged(w: Working, { runId, stage, reason }: EventOf<'stage.damaged'>): void {
  changeStages(w, runId, [stage], (one) => ({ ...one, damage: { reason, isLost: false } }));
  w.damaged = withEntry(w.damaged, `${runId}/${stage}`, { runId, stage }, w.edit);
}

/** A stage can be read again. */
export function stageMended(w: Working, { runId, stage }: EventOf<'stage.mended'>): void {
  changeStages(w, runId, [stage], ({ damage: _damage, ...rest }) => rest);
  w.damaged = withoutEntry(w.damaged, `${runId}/${stage}`, w.edit);
}

/** A stage cannot be read for good. */
export function stageLost(w: Working, { runId, stage, reason }: EventOf<'stage.lost'>): void {
  changeStages(w, runId, [stage], (one) => ({ ...one, damage: { reason, isLost: true } }));
  w.damaged = withoutEntry(w.damaged, `${runId}/${stage}`, w.edit);
}

/** Changes these stages of a run that is in memory as a whole; absent: all. */
function changeStages(
  w: Working,
  runId: string,
  stages: readonly number[] | undefined,
  change: (one: CheckpointState) => CheckpointState,
): void {
  const run = runWith(w, runId);
  if (run === undefined || !isWhole(run)) return;
  const checkpoints = run.checkpoints.slice();
  for (let i = 0; i < checkpoints.length; i++) {
    const one = checkpoints[i]!;
    if (stages === undefined || stages.includes(one.stage)) checkpoints[i] = change(one);
  }
  changeRun(w, runId, { checkpoints });
}
