// What the key of an artefact says: the run that it belongs to, the words for it in sentences.
// Pure.

import { FleetError } from '../errors.ts';

/** An artefact: the checkpoint of a stage, or what else a run leaves, by its noun. */
export interface ArtefactId {
  readonly noun: string;
  readonly runId: string;
  /** Of a checkpoint. */
  readonly stage: number | undefined;
}

const KEY = /(?:^|\.)([a-z]+)\.([^.]+?)(?:\.(\d+))?$/;

/** Reads a key as core/net/subjects.ts makes it; undefined for one of another form. */
export function artefactOfKey(key: string): ArtefactId | undefined {
  const [, noun, runId, stage] = KEY.exec(key) ?? [];
  if (noun === undefined || runId === undefined) return undefined;
  return { noun, runId, stage: stage === undefined ? undefined : Number(stage) };
}

/** The run that an artefact belongs to. */
export function runOfKey(key: string): string {
  const found = artefactOfKey(key);
  if (found === undefined) throw new FleetError('internal', `${key} is no key of an artefact`);
  return found.runId;
}

/** `run-1's stage 2`, `run-1's evaluation`. */
export function artefactName(key: string): string {
  const found = artefactOfKey(key);
  if (found === undefined) return key;
  return `${found.runId}'s ${found.stage === undefined ? found.noun : `stage ${found.stage}`}`;
}

/** The stage whose stored bytes an error is about; undefined for any other error. */
export function damagedStage(
  error: FleetError,
): { readonly runId: string; readonly stage: number } | undefined {
  const { damaged } = error.details;
  const found = typeof damaged === 'string' ? artefactOfKey(damaged) : undefined;
  return found?.stage === undefined ? undefined : { runId: found.runId, stage: found.stage };
}
