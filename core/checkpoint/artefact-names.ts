// What the key of an artefact says: the run that it belongs to, the words for it in sentences.
// Pure.

import { FleetError } from '../errors.ts';
import type { Names } from '../net/subjects.ts';

/** An artefact: the checkpoint of a stage or of a step within one, or what else a run leaves, by its noun. */
export interface ArtefactId {
  readonly noun: string;
  readonly runId: string;
  /** Of the checkpoint of a stage. */
  readonly stage: number | undefined;
  /** Of the checkpoint of a step: committed steps. */
  readonly step: number | undefined;
}

const KEY = /(?:^|\.)([a-z]+)\.([^.]+?)(?:\.(s?)(\d+))?$/;

/** Reads a key as core/net/subjects.ts makes it; undefined for one of another form. */
export function artefactOfKey(key: string): ArtefactId | undefined {
  const [, noun, runId, isStep, digits] = KEY.exec(key) ?? [];
  if (noun === undefined || runId === undefined) return undefined;
  const number = digits === undefined ? undefined : Number(digits);
  return isStep === 's'
    ? { noun, runId, stage: undefined, step: number }
    : { noun, runId, stage: number, step: undefined };
}

/** From so many runs on, one look at all keys is cheaper than one at those of each. */
const LIST_ALL_FROM = 20;

/**
 * What to look for in the bucket of manifests to find those of these runs, and perhaps of others; undefined: of all.
 */
export function manifestFilters(names: Names, runIds: ReadonlySet<string> | undefined): string[] {
  if (runIds === undefined || runIds.size >= LIST_ALL_FROM) return [names.manifestKeys];
  return [...runIds].flatMap((id) => [names.checkpointKey(id, '*'), names.evaluationKey(id)]);
}

/** The run that an artefact belongs to. */
export function runOfKey(key: string): string {
  const found = artefactOfKey(key);
  if (found === undefined) throw new FleetError('internal', `${key} is no key of an artefact`);
  return found.runId;
}

/** `run-1's stage 2`, `run-1's step 57`, `run-1's evaluation`. */
export function artefactName(key: string): string {
  const found = artefactOfKey(key);
  if (found === undefined) return key;
  const { runId, noun, stage, step } = found;
  return `${runId}'s ${stage !== undefined ? `stage ${stage}` : step !== undefined ? `step ${step}` : noun}`;
}

/** The stage whose stored bytes an error is about; undefined for any other error. */
export function damagedStage(
  error: FleetError,
): { readonly runId: string; readonly stage: number } | undefined {
  const { damaged } = error.details;
  const found = typeof damaged === 'string' ? artefactOfKey(damaged) : undefined;
  return found?.stage === undefined ? undefined : { runId: found.runId, stage: found.stage };
}
