// What the store holds, by run: a sum over manifests. Pure.

import { artefactOfKey } from './artefact-names.ts';
import { isHeld, type Manifest } from './manifest.ts';

/** Bytes of a stage by part. */
export interface StageHolding {
  readonly stage: number;
  readonly bytes: number;
  readonly parts: readonly { readonly name: string; readonly bytes: number }[];
}

/** What is stored of one run. */
export interface Holding {
  readonly runId: string;
  readonly bytes: number;
  /** Ascending. */
  readonly stages: readonly StageHolding[];
  /** Of all that is no checkpoint. */
  readonly reportBytes: number;
}

/** The holdings of all runs that have manifests, the largest first. */
export function holdingsOf(manifests: readonly Manifest[]): Holding[] {
  const byRun = new Map<string, { stages: StageHolding[]; reportBytes: number }>();
  for (const manifest of manifests) {
    const artefact = artefactOfKey(manifest.key);
    if (artefact === undefined) continue;
    const run = byRun.get(artefact.runId) ?? { stages: [], reportBytes: 0 };
    byRun.set(artefact.runId, run);
    const parts = manifest.parts
      .filter((part) => isHeld(manifest, part))
      .map(({ name, bytes }) => ({ name, bytes }));
    const bytes = parts.reduce((sum, part) => sum + part.bytes, 0);
    if (artefact.stage === undefined) run.reportBytes += bytes;
    else run.stages.push({ stage: artefact.stage, bytes, parts });
  }
  return [...byRun]
    .map(([runId, { stages, reportBytes }]) => ({
      runId,
      stages: stages.sort((a, b) => a.stage - b.stage),
      reportBytes,
      bytes: reportBytes + stages.reduce((sum, { bytes }) => sum + bytes, 0),
    }))
    .sort((a, b) => b.bytes - a.bytes || (a.runId < b.runId ? -1 : 1));
}
