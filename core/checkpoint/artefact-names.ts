// What the key of an artefact says: the run that it belongs to, the words for it in sentences, and under which
// subjects its chunks are. Pure.

import { FleetError } from '../errors.ts';
import type { Names } from '../net/subjects.ts';
import type { Manifest, PartManifest } from './manifest.ts';

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

/** The subject of a chunk: by the digest of its bytes, or in a blob by that of the whole and its place. */
export const chunkSubject = (names: Names, manifest: Manifest, part: PartManifest, chunk: number): string =>
  manifest.form === 'blob'
    ? names.blobChunkSubject(manifest.digest, chunk)
    : names.chunkSubject(runOfKey(manifest.key), part.chunks![chunk]!);
