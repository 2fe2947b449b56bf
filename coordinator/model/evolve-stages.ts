// What events do to the stored stages of a run: what retention leaves of them, what is kept by request, what
// was damaged and mended.

import type { EventOf } from './events.ts';
import { changeRun, type Working } from './folding.ts';
import { withEntry, withoutEntry } from './persistent-map.ts';
import { type CheckpointState, isWhole, runWith } from './state.ts';

/** Something of a run's stages is not stored any more. A run that has left memory has no stages here. */
export function stagesDropped(w: Working, event: EventOf<'stage.dropped'>): void {
  const { runId, stages, parts } = event;
  const held = parts === 'state' ? 'network' : 'nothing';
  changeStages(w, runId, (one) =>
    stages === undefined || stages.includes(one.stage) ? { ...one, held } : one,
  );
}

/** A stage stays as it is, by request. */
export function stageKept(w: Working, { runId, stage, reason }: EventOf<'stage.kept'>): void {
  changeStages(w, runId, (one) => (one.stage === stage ? { ...one, kept: reason } : one));
}

/** Retention decides about a stage again. */
export function stageReleased(w: Working, { runId, stage }: EventOf<'stage.released'>): void {
  changeStages(w, runId, (one) => {
    const { kept: _kept, ...rest } = one;
    return one.stage === stage ? rest : one;
  });
}

/** A stage cannot be read, and is computed again. */
export function stageDamaged(w: Working, { runId, stage, reason }: EventOf<'stage.damaged'>): void {
  changeStages(w, runId, (one) =>
    one.stage === stage ? { ...one, damage: { reason, isLost: false } } : one,
  );
  w.damaged = withEntry(w.damaged, `${runId}/${stage}`, { runId, stage }, w.edit);
}

/** A stage can be read again. */
export function stageMended(w: Working, { runId, stage }: EventOf<'stage.mended'>): void {
  changeStages(w, runId, (one) => {
    const { damage: _damage, ...rest } = one;
    return one.stage === stage ? rest : one;
  });
  w.damaged = withoutEntry(w.damaged, `${runId}/${stage}`, w.edit);
}

/** A stage cannot be read for good. */
export function stageLost(w: Working, { runId, stage, reason }: EventOf<'stage.lost'>): void {
  changeStages(w, runId, (one) => (one.stage === stage ? { ...one, damage: { reason, isLost: true } } : one));
  w.damaged = withoutEntry(w.damaged, `${runId}/${stage}`, w.edit);
}

function changeStages(w: Working, runId: string, change: (one: CheckpointState) => CheckpointState): void {
  const run = runWith(w, runId);
  if (run === undefined || !isWhole(run)) return;
  changeRun(w, runId, { checkpoints: run.checkpoints.map(change) });
}
