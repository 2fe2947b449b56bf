// What the store holds, as a user sees it: by run, stage and part, and who holds it; what would go with a run.
// It is read from the manifests, because only they say what is there.

import { manifestFilters } from '../../core/checkpoint/artefact-names.ts';
import {
  comparePlaces,
  type Holding,
  placeOf,
  type RunPlace,
  type StageHolding,
  sumHoldings,
} from '../../core/checkpoint/holdings.ts';
import type { ArtefactStore } from '../../core/checkpoint/store.ts';
import type { Names } from '../../core/net/subjects.ts';
import { beginSlices, type Slices } from '../../core/slices.ts';
import {
  type ListArtefactsRequest,
  type ListArtefactsResponse,
  RunArtefacts,
  type StageArtefact,
} from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { factsOf, storedOfEnded } from '../decisions/retaining.ts';
import { keptText, reasonToKeep } from '../decisions/retention.ts';
import { readersOf } from '../decisions/stages.ts';
import { theOne } from '../model/find.ts';
import { hasFront } from '../model/kept-trials.ts';
import { allNumbers } from '../model/roll.ts';
import {
  hasEnded,
  isWhole,
  planWith,
  type RunState,
  runWith,
  type State,
  sweepWith,
  trialWith,
  wholeRunWith,
} from '../model/state.ts';
import { bytesOf, openPage } from './page.ts';

/** The artefacts of a fleet, for callers of the service. */
export interface Artefacts {
  /**
   * One page; `id`: of a plan, sweep or run, or its name; empty: everything. The work is done in slices, so that a
   * large store holds up no other call.
   */
  list(state: State, request: ListArtefactsRequest): Promise<ListArtefactsResponse>;
  /** Bytes that are stored of these runs. */
  bytesOf(runIds: readonly string[]): Promise<number>;
  /** Bytes of the checkpoints of a run, or of one stage. */
  checkpointBytesOf(runId: string, stage?: number): Promise<number>;
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
  /** Of these runs; undefined: of all. */
  async function holdings(runIds: ReadonlySet<string> | undefined): Promise<Holding[]> {
    const sums = sumHoldings();
    const slices = beginSlices();
    for (const filter of manifestFilters(names, runIds))
      for (const manifest of await store.listManifests(filter)) {
        sums.add(manifest);
        const turn = slices.next();
        if (turn !== undefined) await turn;
      }
    const holdings: Holding[] = [];
    for (const holding of sums.each()) {
      holdings.push(holding);
      const turn = slices.next();
      if (turn !== undefined) await turn;
    }
    return holdings;
  }
  return {
    async list(state, { id: idOrName, ...request }) {
      const id = idOrName === '' ? '' : theOne(state, idOrName, ['plan', 'sweep', 'run']).id;
      const page = openPage({ list: `artefacts ${id}`, request, bytesOf: bytesOf(RunArtefacts) });
      const wanted = id === '' ? undefined : new Set(runIdsOf(state, id));
      const runs = (await holdings(wanted)).filter(({ runId }) => wanted?.has(runId) ?? true);
      const slices = beginSlices();
      const after = page.after === undefined ? undefined : itemPlaceOf(page.after);
      let isFull = false;
      let total = 0;
      for (const holding of runs) {
        const firsts = firstStagesOf(holding);
        total += firsts.length;
        for (const first of isFull ? [] : firsts) {
          if (after !== undefined && isUpTo(holding.runId, first, after)) continue;
          isFull = !page.take(`${holding.runId}/${first}`, await viewOf(state, holding, first, slices));
          if (isFull) break;
        }
        const turn = slices.next();
        if (turn !== undefined) await turn;
      }
      return {
        runs: page.items,
        totalBytes: runs.reduce((sum, { bytes }) => sum + bytes, 0),
        nextPageToken: page.nextPageToken,
        total,
      };
    },
    async bytesOf(runIds) {
      const wanted = new Set(runIds);
      return (await holdings(wanted))
        .filter(({ runId }) => wanted.has(runId))
        .reduce((sum, { bytes }) => sum + bytes, 0);
    },
    async checkpointBytesOf(runId, stage) {
      const found = (await holdings(new Set([runId]))).find((one) => one.runId === runId);
      if (found === undefined) return 0;
      if (stage !== undefined) return found.stages.find((one) => one.stage === stage)?.bytes ?? 0;
      return found.bytes - found.reportBytes;
    },
    async largest(count) {
      return (await holdings(undefined)).sort((a, b) => b.bytes - a.bytes).slice(0, count);
    },
  };
}

/** The runs of a plan or a sweep, or the run itself. */
export function runIdsOf(state: State, id: string): string[] {
  const numbers = planWith(state, id)?.allRunIds ?? sweepWith(state, id)?.allRunIds;
  return numbers === undefined ? [id] : [...allNumbers(numbers)].map((number) => `run-${number}`);
}

/** Stages of one item of a page, so that a run with very many stages spreads over several. */
const STAGES_MAX = 500;
/** Readers of a stage that are named. */
const READERS_MAX = 5;

/** The first stage of each item of a run, 0 for the first item: a stage stays in its item when others go. */
function firstStagesOf({ stages }: Holding): number[] {
  const firsts = [0];
  for (const { stage } of stages) {
    const first = stage - (stage % STAGES_MAX);
    if (first > firsts.at(-1)!) firsts.push(first);
  }
  return firsts;
}

/** The item that a page ended with. */
interface ItemPlace {
  readonly run: RunPlace;
  readonly first: number;
}

/** The place that a key of a page names. */
function itemPlaceOf(key: string): ItemPlace {
  const at = key.lastIndexOf('/');
  return { run: placeOf(key.slice(0, at)), first: Number(key.slice(at + 1)) };
}

/** Whether an item was on a page before. */
function isUpTo(runId: string, first: number, last: ItemPlace): boolean {
  return (comparePlaces(placeOf(runId), last.run) || first - last.first) <= 0;
}

async function viewOf(state: State, holding: Holding, first: number, slices: Slices): Promise<RunArtefacts> {
  const { runId, bytes, stages, steps, reportBytes } = holding;
  const run = runWith(state, runId);
  const whole = wholeRunWith(state, runId);
  const sweep = run?.sweepId === undefined ? undefined : sweepWith(state, run.sweepId);
  const trial = run?.trialId === undefined ? undefined : trialWith(state, run.trialId);
  const shown: StageArtefact[] = [];
  const holder = whole === undefined ? holdersOfEnded(state, run) : holdersOf(state, whole);
  for (const { stage, bytes: ofStage, parts } of stagesFrom(stages, first)) {
    shown.push({
      ...{ stage, bytes: ofStage, parts: parts.map((part) => ({ ...part })) },
      heldBy: holder(stage),
    });
    const turn = slices.next();
    if (turn !== undefined) await turn;
  }
  return {
    runId,
    name: whole?.name ?? (sweep === undefined || trial === undefined ? '' : `${sweep.name}-${trial.number}`),
    kind: run === undefined ? '' : isWhole(run) ? run.job.kind : 'candidate',
    state: run?.state ?? '',
    bytes,
    reportBytes: first === 0 ? reportBytes : 0,
    stages: shown,
    steps:
      first > 0
        ? []
        : steps.map(({ step, bytes: ofStep, parts }) => ({
            ...{ step, bytes: ofStep, parts: parts.map((part) => ({ ...part })) },
            heldBy: holderOfStep(whole, step),
          })),
  };
}

/** Why the checkpoint of a step within a stage stays. */
function holderOfStep(run: RunState | undefined, step: number): string {
  if (run?.pausedStep?.step !== step) return NOTHING_HOLDS;
  return hasEnded(run) ? 'the run would go on from it' : 'the run goes on from it';
}

function stagesFrom(stages: readonly StageHolding[], first: number): readonly StageHolding[] {
  return stages.filter(({ stage }) => stage >= first && stage < first + STAGES_MAX);
}

function holdersOfEnded(state: State, run: ReturnType<typeof runWith>): (stage: number) => string {
  if (run === undefined || isWhole(run)) return () => NOTHING_HOLDS;
  const stored = storedOfEnded(state, run);
  const sweep = sweepWith(state, run.sweepId);
  const best = keptText(sweep !== undefined && hasFront(sweep));
  return (stage) => {
    if (!stored.includes(stage)) return NOTHING_HOLDS;
    return run.kept?.find((one) => one.stage === stage)?.kept ?? best;
  };
}

const NOTHING_HOLDS = 'nothing: it is being removed';

/** By stage, why it stays: who reads it, a request, or the policy of its run. */
function holdersOf(state: State, run: RunState): (stage: number) => string {
  const facts = factsOf(state, run);
  const byStage = new Map(facts.stages.map((one) => [one.stage, one]));
  return (stage) => {
    const readers = readersOf(state, run, stage);
    const more = readers.length - READERS_MAX;
    if (more > 0) return `${readers.slice(0, READERS_MAX).join(', ')} and ${more} more`;
    if (readers.length > 0) return readers.join(', ');
    const found = byStage.get(stage);
    return found === undefined ? 'not in the journal yet' : reasonToKeep(facts, found);
  };
}
