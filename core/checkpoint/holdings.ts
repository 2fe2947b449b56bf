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

/** A sum that is under way. */
export interface HoldingSums {
  /** Adds an artefact; a key that is none's is passed over. */
  add(manifest: Manifest): void;
  /** All runs that have manifests, in the order of their numbers. */
  all(): Holding[];
}

/** Begins a sum. */
export function sumHoldings(): HoldingSums {
  const byRun = new Map<string, { stages: StageHolding[]; bytes: number; reportBytes: number }>();
  return {
    add(manifest) {
      const artefact = artefactOfKey(manifest.key);
      if (artefact === undefined) return;
      const run = byRun.get(artefact.runId) ?? { stages: [], bytes: 0, reportBytes: 0 };
      byRun.set(artefact.runId, run);
      const parts = manifest.parts
        .filter((part) => isHeld(manifest, part))
        .map(({ name, bytes }) => ({ name, bytes }));
      const bytes = parts.reduce((sum, part) => sum + part.bytes, 0);
      run.bytes += bytes;
      if (artefact.stage === undefined) run.reportBytes += bytes;
      else run.stages.push({ stage: artefact.stage, bytes, parts });
    },
    all: () =>
      [...byRun]
        .map(([runId, { bytes, reportBytes, stages }]) => ({ runId, bytes, reportBytes, stages }))
        // Numbers that were read once, because a store may have very many runs.
        .map((holding) => ({ holding, place: placeOf(holding.runId) }))
        .sort((a, b) => comparePlaces(a.place, b.place))
        .map(({ holding }) => {
          holding.stages.sort((a, b) => a.stage - b.stage);
          return holding;
        }),
  };
}

/** Where a run stands in a list: by number, ids without one last. */
export interface RunPlace {
  readonly runId: string;
  readonly number: number;
}

/** The place of a run. */
export function placeOf(runId: string): RunPlace {
  const number = Number(runId.slice(runId.lastIndexOf('-') + 1));
  return { runId, number: Number.isNaN(number) ? Number.POSITIVE_INFINITY : number };
}

/** Negative when run `a` stands before run `b`. */
export function comparePlaces(a: RunPlace, b: RunPlace): number {
  if (a.number !== b.number) return a.number < b.number ? -1 : 1;
  return a.runId < b.runId ? -1 : a.runId > b.runId ? 1 : 0;
}
