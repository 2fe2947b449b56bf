// The procedure of a differentiable search (DARTS): each step is a few rounds of passes (core/search/rounds.ts),
// and the arithmetic between them (core/search/bilevel.ts) is done by every member on the same bytes. Decides
// what of a step is summed where, and what a search's state is.
//
// The sum of the last round is the run's own, which commits the step like any other. The rounds before it have
// exchanges of their own, which begin anew with each generation: nothing of the state moves before the last
// round, so a step that a change of the gang interrupts is begun again from its first round.

import type { Batch } from '../../core/data/loading/loader-messages.ts';
import { initialRunning } from '../../core/nn/init.ts';
import { type Layout, layoutOf } from '../../core/nn/layout.ts';
import { ALPHA_COUNT, alphaParts, initialAlphas, type SupernetSpec } from '../../core/nn/supernet.ts';
import {
  createWork,
  type SearchState,
  type SearchStepOptions,
  type SearchWork,
  sizesOf,
} from '../../core/search/bilevel.ts';
import { valuesOf } from '../../core/search/darts.ts';
import type { Half } from '../../core/search/halves.ts';
import { pathAlphas } from '../../core/search/path.ts';
import { auxiliaryWeight } from '../../core/search/policy.ts';
import {
  passVectors,
  type Round,
  roundLength,
  roundsOf,
  type SearchSizes,
  type Wanted,
} from '../../core/search/rounds.ts';
import { sharedFloats } from '../../core/shared-memory.ts';
import { beginsStage, epochOfStep, stageEndingAt, stepsAtStage } from '../../core/spec/schedule.ts';
import type { SearchBlock } from '../../core/spec/search.ts';
import { ALPHAS, type StateShape, vectorNamed, WEIGHTS } from '../../core/state-vectors.ts';
import { during } from '../../core/worker-time.ts';
import type { GraphSpec } from '../compute/messages.ts';
import type { Contribution, GangPlace, Membership, Procedure, ProcedureOptions, Unit } from './procedure.ts';
import { sgdShape } from './replica.ts';
import { type Evaluator, foundAt, LOSSES, scoresLength } from './search-found.ts';
import { joinSearchGang, type SearchGang, searchExchangeNames } from './search-gang.ts';
import { wholeReplica, wholeReplicaMember } from './whole-replica.ts';

/** A run of kind `search` in this process. */
interface Search extends ProcedureOptions {
  readonly search: SearchBlock;
  readonly supernet: SupernetSpec;
  readonly layout: Layout;
  readonly sizes: SearchSizes;
  /** The last round of every step after the warm-up, whose sum is the run's own; of `uniform` of every step. */
  readonly last: Round;
  /** Memory of the open step, made when the first generation begins. */
  work(): SearchWork;
}

export function createSearch(options: ProcedureOptions, block: SearchBlock): Procedure {
  const { spec, network, classes, runId } = options;
  const supernet: SupernetSpec = { kind: 'supernet', ...block.supernet, classes };
  const layout = layoutOf(network);
  const sizes = sizesOf(layout, ALPHA_COUNT);
  const isProbed = block.probeEvery !== undefined;
  const rounds = roundsOf({ ...block, warmUp: isUniform(block), isProbed });
  let made: SearchWork | undefined;
  const search: Search = {
    ...options,
    ...{ search: block, supernet, layout, sizes, last: rounds.at(-1)! },
    work: () => {
      made ??= createWork(sizes, { order: block.order, isProbed }, sharedFloats);
      return made;
    },
  };
  const wanted = [...new Set(rounds.flatMap(({ passes }) => passes.map((pass) => pass.wanted)))];
  const shape = searchShape(layout);
  return {
    ...wholeReplica,
    replicaShape: shape,
    stateShape: shape,
    sumLength: roundLength(sizes, search.last),
    graphs: [
      ...wanted.map((one) => passGraph(search, one)),
      ...(scoresLength(block) > 0 ? [logitsGraph(search)] : []),
    ],
    backboneCount: layout.backboneCount,
    exchangeNames: searchExchangeNames(runId),
    async writeFirst(state) {
      const { seed } = spec.training;
      const into = vectorNamed(state, WEIGHTS);
      await options.compute.writeInitialWeights({ network: supernet, classes: 0, seed, into });
      vectorNamed(state, 'running').set(initialRunning(layout));
      vectorNamed(state, ALPHAS).set(initialAlphas(seed));
    },
    async join(place) {
      const { shards } = spec.training;
      const gang = await joinSearchGang({ ...place, sizes, rounds, shards, scores: scoresLength(block) });
      return {
        ...wholeReplicaMember(place),
        ...memberOf(search, gang),
        ...(isUniform(block) ? {} : { found: foundBy(search, gang, place) }),
        leave: async () => gang.leave(),
      };
    },
    dispose: () => undefined,
  };
}

/** Whether each step trains the weights of a random path, and the alphas stay as they are. */
const isUniform = ({ strategy }: SearchBlock): boolean => strategy === 'uniform';

/** The names of a search's vectors beside those of SGD. */
const FIRST = 'adam_first';
const SECOND = 'adam_second';
const LOSS_SUMS = 4;

function searchShape(layout: Layout): StateShape {
  const ofAlphas = [ALPHAS, FIRST, SECOND].map((name) => ({ name, length: ALPHA_COUNT, parts: alphaParts }));
  return [...sgdShape(layout), ...ofAlphas, { name: LOSSES, length: LOSS_SUMS, parts: [] }];
}

function passGraph(search: Search, wanted: Wanted): GraphSpec {
  const { recompute } = search.spec.training;
  return { kind: 'search', wanted, ...ofNetwork(search), ...(recompute ? { recompute } : {}) };
}

const logitsGraph = (search: Search): GraphSpec => ({ kind: 'search-logits', ...ofNetwork(search) });

/** What all graphs of a search have in common. */
const ofNetwork = ({ supernet, search, schedule }: Search) => ({
  supernet,
  ...(search.auxiliarySkip === undefined ? {} : { hasAuxiliarySkip: true }),
  batch: schedule.batch / schedule.shards,
});

/** What this member finds together with the others. */
function foundBy(search: Search, gang: SearchGang, place: GangPlace): NonNullable<Membership['found']> {
  const { shardFirst, shardCount } = place.members[place.rank]!;
  const evaluator: Evaluator = {
    ...{ search: search.search, compute: search.compute, graph: logitsGraph(search) },
    epochs: search.schedule.epochs,
    shards: Array.from({ length: shardCount }, (_, i) => shardFirst + i),
    exchange: gang.evaluation,
    moreInputs: (stage) => auxiliaryInput(search, stage - 1),
    signal: place.signal,
  };
  return (stage, replica, alphaBatches) => foundAt(evaluator, { stage, replica, alphaBatches });
}

/** How the unit's step is made. */
function stepOf({ search, spec, schedule }: Search, unit: Unit): SearchStepOptions {
  const { order, variant, warmUpEpochs, alphas, probeEvery } = search;
  const { momentum, weightDecay, clipNorm } = spec.training.optimizer;
  return {
    ...{ order, variant },
    warmUp: isUniform(search) || epochOfStep(schedule, unit.first) < warmUpEpochs,
    isProbed: probeEvery !== undefined && unit.end % probeEvery === 0,
    learningRate: unit.learningRate,
    optimizer: { momentum, weightDecay, clipNorm },
    adam: alphas,
  };
}

/** The state in the form of the step's arithmetic. Adam has taken one step in each since the warm-up. */
function stateOf({ search, schedule }: Search, { replica, first }: Unit): SearchState {
  const named = (name: string) => vectorNamed(replica.vectors, name);
  const warmUp = search.warmUpEpochs === 0 ? 0 : stepsAtStage(schedule, search.warmUpEpochs);
  return {
    ...{ weights: named(WEIGHTS), momentum: named('momentum'), running: named('running') },
    alphas: named(ALPHAS),
    adam: { first: named(FIRST), second: named(SECOND), steps: Math.max(0, first - warmUp) },
  };
}

function memberOf(
  search: Search,
  gang: SearchGang,
): Pick<Membership, 'contribute' | 'applyMean' | 'exchangeStats'> {
  return {
    contribute: (unit) => Promise.race([computeStep(search, gang, unit), unit.failed]),
    async applyMean(unit, mean) {
      const { compute, supernet, last, sizes, schedule } = search;
      const step = stepOf(search, unit);
      const work = search.work();
      const applied = await compute.commitSearch({
        ...{ supernet, step, work, number: unit.first, state: stateOf(search, unit) },
        round: roundsOf(step).length - 1,
        mean: step.warmUp ? warmUpMean(sizes, last, { mean, work }) : mean,
      });
      const { trainingLoss, validationLoss, differenceError, gradientNorm, digest } = applied;
      const sums = vectorNamed(unit.replica.vectors, LOSSES);
      if (stageEndingAt(schedule, unit.first) > 0) sums.fill(0);
      sums[0]! += trainingLoss;
      sums[1]! += validationLoss ?? 0;
      sums[2]! += 1;
      sums[3]! += validationLoss === undefined ? 0 : 1;
      const unknown = Number.NaN;
      const losses = { loss: trainingLoss, lossArcface: unknown, lossKd: unknown };
      return { gradientNorm, digest, losses, differenceError };
    },
    exchangeStats: gang.stats,
  };
}

/**
 * The training pass of a step of the warm-up, whose vector is another one than that of the last round: it is the
 * first part of it, or was summed before.
 */
function warmUpMean(
  sizes: SearchSizes,
  last: Round,
  { mean, work }: { readonly mean: Float32Array; readonly work: SearchWork },
): Float32Array {
  return last.kind === 'sides' ? work.training : passVectors(sizes, last, mean)[0]!;
}

/** Computes the step's rounds and sums all but the last, whose vectors are the result. */
async function computeStep(search: Search, gang: SearchGang, unit: Unit): Promise<Contribution> {
  const { compute, supernet, last, spec, schedule } = search;
  const step = stepOf(search, unit);
  const work = search.work();
  const batches = createBatches(unit);
  const digest = unit.contributionDigest();
  // Members may still evaluate the stage that has ended.
  const fresh = beginsStage(schedule, unit.first);
  const images = (schedule.batch / spec.training.shards) * unit.shards.length;
  const own = (shard: number) => unit.exchange.vector(shard);
  let waited = 0;
  const rounds = roundsOf(step);
  for (const [place, round] of rounds.entries()) {
    const isLast = place === rounds.length - 1;
    if (isLast && (!step.warmUp || last.kind !== 'sides'))
      return { vectors: await computeRound(search, unit, { round, batches, vector: own }), waited, images };
    const exchange = gang.exchangeOf(round);
    const vectors = await computeRound(search, unit, { round, batches, vector: exchange.vector });
    const from = unit.clock.monotonic();
    const mean = await during(unit.begin, 'reduce_wait', exchange.sum(vectors, { digest, fresh }));
    waited += (unit.clock.monotonic() - from) / 1000;
    unit.signal.throwIfAborted();
    // A step of the warm-up keeps its only mean until the sum of the step is there.
    const kept = step.warmUp ? { ...step, warmUp: false } : step;
    const state = stateOf(search, unit);
    await compute.continueSearch({
      supernet,
      step: kept,
      work,
      state,
      number: unit.first,
      round: place,
      mean,
    });
    unit.signal.throwIfAborted();
  }
  // The sum of a step of the warm-up adds nothing: it says that the step is over.
  const vectors = new Map(unit.shards.map((shard) => [shard, own(shard).fill(0)]));
  return { vectors, waited, images };
}

/** What a graph takes beside the network's state and batch: the weight of the unweighted skip in an epoch. */
function auxiliaryInput({ search, schedule }: Search, epoch: number): Float32Array[] {
  const { auxiliarySkip } = search;
  if (auxiliarySkip === undefined) return [];
  return [Float32Array.of(auxiliaryWeight(auxiliarySkip, epoch, schedule.epochs))];
}

/** The passes of a round for all own shards, written into the vectors of the shards. */
async function computeRound(
  search: Search,
  unit: Unit,
  {
    round,
    batches,
    vector,
  }: {
    readonly round: Round;
    readonly batches: Batches;
    readonly vector: (shard: number) => Float32Array;
  },
): Promise<Map<number, Float32Array>> {
  const { compute, sizes } = search;
  const open = { work: search.work(), state: stateOf(search, unit) };
  const skip = auxiliaryInput(search, epochOfStep(search.schedule, unit.first));
  const path = isUniform(search.search) ? pathAlphas(search.spec.training.seed, unit.first) : undefined;
  const computeShard = async (shard: number) => {
    const whole = vector(shard);
    // In the warm-up the vector of the run's own sum may be longer than the round's.
    if (whole.length > roundLength(sizes, round)) whole.fill(0);
    for (const [at, into] of passVectors(sizes, round, whole).entries()) {
      const pass = round.passes[at]!;
      const { images, labels } = await batches.of(shard, pass.half);
      const { weights, alphas } = valuesOf(open, pass);
      const inputs = [weights, path ?? alphas, images, labels, ...skip];
      await compute.runGraph(passGraph(search, pass.wanted), inputs, into);
      batches.used(shard, pass.half);
    }
    return [shard, whole] as const;
  };
  const computed = await Promise.all(unit.shards.map(computeShard));
  unit.signal.throwIfAborted();
  return new Map(computed);
}

/** The batches of an open step: each is read once, for all passes that are made with it. */
interface Batches {
  of(shard: number, half: Half): Promise<Batch>;
  /** A pass with it is over. */
  used(shard: number, half: Half): void;
}

function createBatches(unit: Unit): Batches {
  const read = new Map<string, { readonly batch: Promise<Batch>; isUsed: boolean }>();
  const keyOf = (shard: number, half: Half) => `${shard}/${half}`;
  return {
    of(shard, half) {
      const known = read.get(keyOf(shard, half));
      if (known !== undefined) return known.batch;
      const batch = unit.readBatch(unit.first, shard, half);
      read.set(keyOf(shard, half), { batch, isUsed: false });
      return batch;
    },
    used(shard, half) {
      const entry = read.get(keyOf(shard, half))!;
      if (!entry.isUsed) unit.batchDone();
      entry.isUsed = true;
    },
  };
}
