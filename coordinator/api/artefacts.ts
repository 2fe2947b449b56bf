// What the store holds, as a user sees it: by run, stage and part, and who holds it; what would go with a run.
// It is read from the manifests, because only they say what is there.

import { type Holding, holdingsOf } from '../../core/checkpoint/holdings.ts';
import type { ArtefactStore } from '../../core/checkpoint/store.ts';
import type { Names } from '../../core/net/subjects.ts';
import type { ListArtefactsResponse, RunArtefacts } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { factsOf } from '../decisions/retaining.ts';
import { reasonToKeep } from '../decisions/retention.ts';
import { readersOf } from '../decisions/stages.ts';
import { theOne } from '../model/find.ts';
import { allNumbers } from '../model/roll.ts';
import {
  isWhole,
  planWith,
  type RunState,
  runWith,
  type State,
  sweepWith,
  trialWith,
  wholeRunWith,
} from '../model/state.ts';

/** The artefacts of a fleet, for callers of the service. */
export interface Artefacts {
  /** `id`: of a plan, sweep or run, or its name; empty: everything. */
  list(state: State, id: string): Promise<ListArtefactsResponse>;
  /** Bytes that are stored of these runs, or of one stage. */
  bytesOf(runIds: readonly string[], stage?: number): Promise<number>;
  /** The runs that hold the most, the largest first. */
  largest(count: number): Promise<readonly Holding[]>;
}

/** Reads the manifests at each call. */
export function createArtefacts({
  store,
  names,
}: {
  readonly store: Pick<ArtefactStore, 'listManifests'>;
  readonly names: Names;
}): Artefacts {
  const holdings = async (): Promise<Holding[]> => holdingsOf(await store.listManifests(names.manifestKeys));
  return {
    async list(state, idOrName) {
      const id = idOrName === '' ? '' : theOne(state, idOrName, ['plan', 'sweep', 'run']).id;
      const wanted = id === '' ? undefined : new Set(runIdsOf(state, id));
      const runs = (await holdings()).filter(({ runId }) => wanted?.has(runId) ?? true);
      return {
        runs: runs.map((holding) => viewOf(state, holding)),
        totalBytes: runs.reduce((sum, { bytes }) => sum + bytes, 0),
      };
    },
    async bytesOf(runIds, stage) {
      const wanted = new Set(runIds);
      return (await holdings())
        .filter(({ runId }) => wanted.has(runId))
        .reduce((sum, { bytes, stages }) => {
          if (stage === undefined) return sum + bytes;
          return sum + (stages.find((one) => one.stage === stage)?.bytes ?? 0);
        }, 0);
    },
    async largest(count) {
      return (await holdings()).slice(0, count);
    },
  };
}

/** The runs of a plan or a sweep, or the run itself. */
export function runIdsOf(state: State, id: string): string[] {
  const numbers = planWith(state, id)?.allRunIds ?? sweepWith(state, id)?.allRunIds;
  return numbers === undefined ? [id] : [...allNumbers(numbers)].map((number) => `run-${number}`);
}

function viewOf(state: State, { runId, bytes, stages, reportBytes }: Holding): RunArtefacts {
  const run = runWith(state, runId);
  const whole = wholeRunWith(state, runId);
  const sweep = run?.sweepId === undefined ? undefined : sweepWith(state, run.sweepId);
  const trial = run?.trialId === undefined ? undefined : trialWith(state, run.trialId);
  return {
    runId,
    name: whole?.name ?? (sweep === undefined || trial === undefined ? '' : `${sweep.name}-${trial.number}`),
    kind: run === undefined ? '' : isWhole(run) ? run.job.kind : 'candidate',
    state: run?.state ?? '',
    bytes,
    reportBytes,
    stages: stages.map(({ stage, bytes: ofStage, parts }) => ({
      stage,
      bytes: ofStage,
      parts: parts.map((part) => ({ ...part })),
      heldBy:
        whole === undefined
          ? run === undefined
            ? 'nothing: it is being removed'
            : 'the best of its sweep'
          : heldBy(state, whole, stage),
    })),
  };
}

/** Why a stage stays: who reads it, a request, or the policy of its run. */
function heldBy(state: State, run: RunState, stage: number): string {
  const readers = readersOf(state, run, stage);
  if (readers.length > 0) return readers.join(', ');
  const facts = factsOf(state, run);
  const found = facts.stages.find((one) => one.stage === stage);
  return found === undefined ? 'not in the journal yet' : reasonToKeep(facts, found);
}
