// Teachers whose stages come from files. Decides that equal files are one teacher, and what its run is while they
// are being stored: it is paused, because nobody trains it, and its students wait for its stages as for any other's.
// It is done with its last stage.

import { costsOf } from '../../core/nn/space.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import { find } from '../model/find.ts';
import { hasEnded, type RunState, type State, wholeRunWith } from '../model/state.ts';
import { type Draft, emit, nextId } from './draft.ts';
import type { Answer, ImportedStage } from './inputs.ts';
import { recordSpec } from './specs.ts';

/** What its run counts: a step is a stage. Which images the teacher has seen is not known. */
const FACTS = { trainingImages: 2, classes: 0, heldOutImages: 0, heldOutIdentities: 0 };

/** The run of a teacher from files: the one that is there, or a new one. */
export function importTeacher(draft: Draft, { spec }: { readonly spec: RunSpec }): () => Answer {
  const known = importedTeacher(draft.state, spec);
  const runId = known?.id ?? nextId(draft.state, 'run');
  if (known === undefined) {
    emit(draft, {
      kind: 'run.created',
      ...{ runId, spec: recordSpec(draft, spec), facts: FACTS, costs: costsOf(spec.network) },
      reason: `imported from ${spec.imported?.from}`,
    });
    emit(draft, { kind: 'work.paused', runId, reason: BEING_STORED });
    emit(draft, { kind: 'run.paused', runId, step: 0, isHeld: true, reason: BEING_STORED });
  }
  return () => ({ kind: 'submitted', planIds: [], sweepIds: [], runIds: [runId] });
}

const BEING_STORED =
  'its files are being stored; where that was cut off, submitting the text again stores the rest';

/** The run that has these stages, or gets them at the moment. */
export function importedTeacher(state: State, { name, imported }: RunSpec): RunState | undefined {
  for (const { id } of find(state, name, ['run']).found) {
    const run = wholeRunWith(state, id);
    if (run?.job.imported?.digest === imported?.digest && run !== undefined && isUsable(run)) return run;
  }
  return undefined;
}

/** Nothing that was stored of it is gone. */
const isUsable = (run: RunState): boolean =>
  run.state !== 'failed' &&
  run.state !== 'cancelled' &&
  run.checkpoints.every(({ held, damage }) => held !== 'nothing' && damage === undefined);

/** Stages of a teacher from files that are not stored, ascending. */
export function missingStages({ job, checkpoints }: RunState): number[] {
  const stored = new Set(checkpoints.map(({ stage }) => stage));
  return (job.imported?.stages ?? []).map((_, i) => i + 1).filter((stage) => !stored.has(stage));
}

/** A stage of it is stored; the last one ends its run. */
export function takeStage(draft: Draft, stored: ImportedStage): void {
  const { runId, stage, bytes, digest, weightsDigest, stateDigest } = stored;
  const run = wholeRunWith(draft.state, runId);
  if (run?.job.imported === undefined || hasEnded(run) || !missingStages(run).includes(stage)) return;
  emit(draft, {
    kind: 'run.checkpointed',
    ...{ runId, stage, step: stage, bytes, digest, weightsDigest, stateDigest, workerId: '' },
  });
  const now = wholeRunWith(draft.state, runId);
  if (now === undefined || missingStages(now).length > 0) return;
  emit(draft, {
    kind: 'run.finished',
    ...{ runId, generation: now.generation, workerId: '', step: run.job.imported.stages.length },
    weightsDigest,
  });
}
