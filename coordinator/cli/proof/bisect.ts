// Where two runs part: first by their specs, then by their stored checkpoints, then step by step between the
// last equal checkpoint and the first different one, computed again for both by workers. Decides the order of
// the comparisons and the verdict.

import { FleetError } from '../../../core/errors.ts';
import type { Ledger, ReplayPoint, StepPoint } from '../../../proto/gen/pocketfleet/v1/fleet.ts';
import { persist } from '../absence.ts';
import type { FleetClient } from '../client.ts';
import { checkpointsOf } from '../whole-lists.ts';
import { type SpecDifference, specDifferences } from './spec-differences.ts';
import { wholeLedger } from './whole-ledger.ts';

/** The first place at which two runs differ, or that there is none. */
export type Parting =
  | { readonly kind: 'equal'; readonly stages: number; readonly steps: number }
  /** The replays of the runs differ from this step on. */
  | {
      readonly kind: 'step';
      /** 1-based; 0: before the first step. */
      readonly step: number;
      /** Name of the first tensor that differs after it, and how many do. */
      readonly tensor: string;
      readonly tensorsDiffering: number;
      readonly tensorsTotal: number;
    }
  /** Both runs replay to the same state, so that one of the stored checkpoints is not what its spec gives. */
  | {
      readonly kind: 'stored';
      readonly stage: number;
      /** Runs whose stored checkpoint is not what replaying gives, with the first tensor. */
      readonly wrong: readonly { readonly runId: string; readonly tensor: string }[];
      /** First step whose recorded weights are not what replaying gives, where the history has it. */
      readonly recordedStep: number | undefined;
    }
  /** The states of the runs have different tensors, so that nothing can be compared. */
  | { readonly kind: 'incomparable'; readonly reason: string };

export interface Bisection {
  readonly a: Ledger;
  readonly b: Ledger;
  readonly specs: readonly SpecDifference[];
  /** Stages whose checkpoints are equal. */
  readonly equalStages: number;
  readonly parting: Parting;
}

export async function bisect(
  client: FleetClient,
  ids: { readonly a: string; readonly b: string },
  options: { readonly signal: AbortSignal; readonly onProgress: (sentence: string) => void },
): Promise<Bisection> {
  // Pauses are where somebody wanted them: runs are compared by their stages.
  const stagesOf = async (runId: string): Promise<Ledger> => {
    const ledger = await wholeLedger(client, runId);
    return { ...ledger, entries: ledger.entries.filter(({ stage }) => stage > 0) };
  };
  const [a, b] = await Promise.all([stagesOf(ids.a), stagesOf(ids.b)]);
  const specs = specDifferences(JSON.parse(a.specJson), JSON.parse(b.specJson));
  const equalStages = countEqualStages(a, b);
  const common = Math.min(a.entries.length, b.entries.length);
  const found = (parting: Parting): Bisection => ({ a, b, specs, equalStages, parting });
  if (common === 0) return found({ kind: 'incomparable', reason: 'one of them has no checkpoint yet' });
  if (equalStages === common)
    return found({ kind: 'equal', stages: common, steps: a.entries[common - 1]!.step });
  if (a.deviceClass !== b.deviceClass)
    options.onProgress(`${a.runId} was computed on ${a.deviceClass}, ${b.runId} on ${b.deviceClass}`);
  options.onProgress(
    `stage ${equalStages + 1} is the first whose checkpoints differ; computing its steps again for both`,
  );
  const pair = { a, b, stage: equalStages + 1 };
  const absence = { signal: options.signal, say: options.onProgress };
  return found(await persist(() => stepThrough(client, pair, options), absence));
}

function countEqualStages(a: Ledger, b: Ledger): number {
  let stage = 0;
  for (;;) {
    const [x, y] = [a.entries[stage], b.entries[stage]];
    if (x === undefined || y === undefined || x.stateDigest === '' || x.stateDigest !== y.stateDigest)
      return stage;
    if (x.step !== y.step) return stage;
    stage += 1;
  }
}

interface Pair {
  readonly a: Ledger;
  readonly b: Ledger;
  /** Name of the first tensor that differs. */
  readonly stage: number;
}

/** The newest stage before the one that differs that is stored whole of both runs; 0: the seed. */
async function startOf(client: FleetClient, { a, b, stage }: Pair): Promise<number> {
  const whole = await Promise.all(
    [a, b].map(async ({ runId }) => {
      const items = await checkpointsOf(client, runId);
      return new Set(items.filter(({ held }) => held === 'all').map((one) => one.stage));
    }),
  );
  for (let start = stage - 1; start > 0; start--)
    if (whole.every((stages) => stages.has(start))) return start;
  return 0;
}

/** Both runs' steps up to the end of one stage side by side; each starts from its own checkpoint. */
async function stepThrough(
  client: FleetClient,
  pair: Pair,
  options: { readonly signal: AbortSignal },
): Promise<Parting> {
  const fromStage = await startOf(client, pair);
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, stop.signal]);
  const follow = (run: Ledger) => {
    const request = { runId: run.runId, fromStage, toStage: pair.stage, eachStep: true, steps: [] };
    return client.follow((service) => service.replay, request, signal)[Symbol.asyncIterator]();
  };
  const streams = [follow(pair.a), follow(pair.b)] as const;
  const points: ReplayPoint[] = [];
  try {
    for (;;) {
      const [x, y] = await Promise.all(streams.map((stream) => stream.next()));
      options.signal.throwIfAborted();
      if (x!.done || y!.done) break;
      const parted = compare(x!.value, y!.value);
      if (parted !== undefined) return parted;
      points.push(x!.value);
      if (x!.value.stage === pair.stage && y!.value.stage === pair.stage)
        return storedParting(client, pair, { x: x!.value, y: y!.value, points });
    }
  } finally {
    stop.abort();
    await Promise.all(streams.map((stream) => stream.return?.()));
  }
  throw new FleetError('internal', `stage ${pair.stage} was replayed to its end without a verdict`);
}

function compare(x: ReplayPoint, y: ReplayPoint): Parting | undefined {
  const names = (point: ReplayPoint) => point.tensors.map((tensor) => tensor.name).join('\n');
  if (names(x) !== names(y)) return { kind: 'incomparable', reason: 'their networks have other tensors' };
  if (x.step !== y.step) return { kind: 'incomparable', reason: 'their stages end at other steps' };
  const differing = x.tensors.filter(({ digest }, i) => digest !== y.tensors[i]!.digest);
  if (differing.length === 0) return undefined;
  return {
    kind: 'step',
    step: x.step,
    tensor: differing[0]!.name,
    tensorsDiffering: differing.length,
    tensorsTotal: x.tensors.length,
  };
}

/** Whether a computed stage is what is stored of it, or what the journal has where it is not kept any more. */
function isAsRecorded({ entries }: Ledger, { stage, stateDigest, verdict }: ReplayPoint): boolean {
  if (verdict !== undefined) return verdict.equal;
  return entries.find((entry) => entry.stage === stage)?.stateDigest === stateDigest;
}

async function storedParting(
  client: FleetClient,
  pair: Pair,
  end: { readonly x: ReplayPoint; readonly y: ReplayPoint; readonly points: readonly ReplayPoint[] },
): Promise<Parting> {
  const wrong = [
    { ledger: pair.a, point: end.x },
    { ledger: pair.b, point: end.y },
  ]
    .filter(({ ledger, point }) => !isAsRecorded(ledger, point))
    .map(({ ledger, point }) => ({ runId: ledger.runId, tensor: point.verdict?.tensor ?? 'unknown' }));
  const steps = await Promise.all(wrong.map(({ runId }) => firstRecorded(client, runId, end.points)));
  const known = steps.filter((step) => step !== undefined);
  return {
    kind: 'stored',
    stage: pair.stage,
    wrong,
    recordedStep: known.length === 0 ? undefined : Math.min(...known),
  };
}

/** The first step whose recorded weights differ from the replayed ones. */
async function firstRecorded(
  client: FleetClient,
  runId: string,
  points: readonly ReplayPoint[],
): Promise<number | undefined> {
  const recorded = new Map<number, StepPoint>();
  for await (const point of client.follow((service) => service.history, { runId }))
    recorded.set(point.step, point);
  return points.find(({ step, comparedDigest, weightsDigest }) => {
    const then = recorded.get(step)?.weightsDigest;
    // A release that recorded the digest of stored weights has none of what members compare.
    return then !== undefined && then !== '' && then !== comparedDigest && then !== weightsDigest;
  })?.step;
}
