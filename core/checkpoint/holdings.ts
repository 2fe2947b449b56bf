// What the store holds, by run: a sum over manifests. Pure.

import { artefactOfKey } from './artefact-names.ts';
import { isHeld, type Manifest } from './manifest.ts';

/** Bytes of a stage by part. */
export interface StageHolding {
  readonly stage: number;
  readonly bytes: number;
  readonly parts: readonly { readonly name: string; readonly bytes: number }[];
}

/** Bytes of the checkpoint of a step within a stage. */
export type StepHolding = Omit<StageHolding, 'stage'> & { readonly step: number };

/** What is stored of one run. */
export interface Holding {
  readonly runId: string;
  readonly bytes: number;
  /** Ascending. */
  readonly stages: readonly StageHolding[];
  /** Ascending. */
  readonly steps: readonly StepHolding[];
  /** Of all that is no checkpoint. */
  readonly reportBytes: number;
}

/** A sum that is under way. */
export interface HoldingSums {
  /** Adds an artefact; a key that is none's is passed over. */
  add(manifest: Manifest): void;
  /** The runs that have manifests, in the order of their numbers; one at a time, because a store may have very many. */
  each(): Iterable<Holding>;
}

/** Begins a sum. */
export function sumHoldings(): HoldingSums {
  const byRun = new Map<string, Sum>();
  return {
    add(manifest) {
      const artefact = artefactOfKey(manifest.key);
      if (artefact === undefined) return;
      const run = byRun.get(artefact.runId) ?? { stages: [], steps: [], bytes: 0, reportBytes: 0 };
      byRun.set(artefact.runId, run);
      const parts = manifest.parts
        .filter((part) => isHeld(manifest, part))
        .map(({ name, bytes }) => ({ name, bytes }));
      const bytes = parts.reduce((sum, part) => sum + part.bytes, 0);
      run.bytes += bytes;
      if (artefact.step !== undefined) run.steps.push({ step: artefact.step, bytes, parts });
      else if (artefact.stage === undefined) run.reportBytes += bytes;
      else run.stages.push({ stage: artefact.stage, bytes, parts });
    },
    *each() {
      for (const runId of inOrder([...byRun.keys()])) {
        const { stages, steps, ...others } = byRun.get(runId)!;
        stages.sort((a, b) => a.stage - b.stage);
        steps.sort((a, b) => a.step - b.step);
        yield { runId, stages, steps, ...others };
      }
    },
  };
}

/** The runs as comparePlaces orders them; numbers are sorted without a call for each two of them. */
function* inOrder(runIds: readonly string[]): Generator<string> {
  const byNumber = new Map<number, string[]>();
  for (const runId of runIds) {
    const { number } = placeOf(runId);
    const same = byNumber.get(number);
    if (same === undefined) byNumber.set(number, [runId]);
    else same.push(runId);
  }
  for (const number of Float64Array.from(byNumber.keys()).sort()) yield* byNumber.get(number)!.sort();
}

/** What is stored of a run, while it is being summed. */
interface Sum {
  readonly stages: StageHolding[];
  readonly steps: StepHolding[];
  bytes: number;
  reportBytes: number;
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
