// Verification of a network on images it was never trained on: embeddings of each image and its mirror image
// through the compiled evaluation graph, then the pair protocol of core/verify, then a few example pairs for
// a person to look at. Decides the batches and which examples are shown.

import { IMAGE_BYTES } from '../../core/data/images/pixels.ts';
import { FleetError } from '../../core/errors.ts';
import type { SupernetSpec } from '../../core/nn/supernet.ts';
import { type NetworkSpec, SUPERNET_EMBEDDING } from '../../core/spec/network.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import type { Pair } from '../../core/verify/pairs.ts';
import { evaluatePairs, type Verification } from '../../core/verify/roc.ts';
import type { EvaluationReport, JudgedPairs, PairExample } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import type { Compute } from '../compute/client.ts';
import type { GraphSpec } from '../compute/messages.ts';
import { mirrored, pngOf } from './images.ts';

/**
 * Images a run of the evaluation graph. Fixed, because the choice of kernels (and so the last bits) may
 * depend on it.
 */
const EVALUATION_BATCH = 16;

/** The graph that embeds held-out images. */
export const evaluationGraph = (network: NetworkSpec): Extract<GraphSpec, { kind: 'embed' }> => ({
  ...{ kind: 'embed', network, batch: EVALUATION_BATCH },
});

/** A network as it is verified: the graph that embeds a batch of so many images, and what that takes. */
export interface Embedder {
  /** Its batch is EVALUATION_BATCH. */
  readonly graph: GraphSpec;
  /** E. */
  readonly embedding: number;
  /** Inputs of the graph before the images. */
  inputs(state: NetworkState): Float32Array[];
}

/** The embedder of a network of its own. */
export const embedderOf = (network: NetworkSpec): Embedder => ({
  ...{ graph: evaluationGraph(network), embedding: network.embedding },
  inputs: ({ weights, running }) => [weights, running],
});

/** The embedder of a sub-network of a search network, with these alphas. */
export const subNetworkEmbedder = (supernet: SupernetSpec, alphas: Float32Array): Embedder => ({
  graph: { kind: 'search-embed', supernet, batch: EVALUATION_BATCH },
  embedding: SUPERNET_EMBEDDING,
  inputs: ({ weights, running }) => [weights, alphas, running],
});
/** Examples of each of four sorts: same and different people, judged wrongly and rightly. */
const EXAMPLES_EACH = 2;
/** ROC points that travel; a curve on a screen has no more. */
const ROC_POINTS_MAX = 400;

/** Images with people's labels, from a run's held-out split or from a verification set. */
export interface LabelledImages {
  readonly size: number;
  /** Images [from, from + count), RGB, HWC, one after the other. */
  read(from: number, count: number): Promise<Uint8Array>;
}

export interface NetworkState {
  /** Backbone parameters; a head after them is ignored. */
  readonly weights: Float32Array;
  readonly running: Float32Array;
}

export interface EvaluationContext {
  readonly compute: Compute;
  readonly network: Embedder;
  readonly images: LabelledImages;
  readonly pairs: readonly Pair[];
  /** Label of the person on each image; undefined for sets without labels. */
  readonly people: ArrayLike<number> | undefined;
  readonly folds: RunSpec['verification']['folds'];
  readonly signal: AbortSignal;
}

/** The full report; `untrained` is measured on the same pairs where given. */
export async function evaluate(
  context: EvaluationContext,
  state: NetworkState,
  untrained: NetworkState | undefined,
): Promise<EvaluationReport> {
  const [verification, before] = await verifyAll(context, untrained ? [state, untrained] : [state]);
  if (!verification) throw new Error('assertion: as many verifications as states');
  const { fpr, tpr } = thinned(verification);
  return {
    evaluation: {
      accuracy: verification.accuracy,
      accuracyStd: verification.accuracyStd,
      auc: verification.auc,
      eer: verification.eer,
      tarAtFar: verification.tarAtFar,
      pairs: context.pairs.length,
      accuracyUntrained: before?.accuracy ?? Number.NaN,
    },
    rocFpr: fpr,
    rocTpr: tpr,
    examples: await drawExamples(context, verification),
    judged: context.people && judgedPairs(context.pairs, context.people, verification.right),
  };
}

function judgedPairs(
  pairs: readonly Pair[],
  people: ArrayLike<number>,
  right: readonly boolean[],
): JudgedPairs {
  const bits = Buffer.alloc(Math.ceil(pairs.length / 8));
  right.forEach((isRight, i) => {
    if (isRight) bits[i >> 3]! |= 1 << (i & 7);
  });
  return {
    personA: pairs.map(({ a }) => people[a]!),
    personB: pairs.map(({ b }) => people[b]!),
    right: bits,
  };
}

/** Each state's verification; the images are read once for all. */
async function verifyAll(
  context: EvaluationContext,
  states: readonly NetworkState[],
): Promise<Verification[]> {
  const { images, network, signal } = context;
  const size = images.size * network.embedding;
  const found = states.map((state) => ({
    state,
    embeddings: new Float32Array(size),
    flippedEmbeddings: new Float32Array(size),
  }));
  const readFrom = (from: number) => images.read(from, Math.min(EVALUATION_BATCH, images.size - from));
  let next = readFrom(0);
  for (let from = 0; from < images.size; from += EVALUATION_BATCH) {
    signal.throwIfAborted();
    const read = await next;
    // The next batch is decoded while this one is embedded.
    if (from + EVALUATION_BATCH < images.size) next = ignoringLater(readFrom(from + EVALUATION_BATCH));
    const batch = fullBatch(read);
    const flipped = mirrored(batch, EVALUATION_BATCH);
    const numbers = (read.length / IMAGE_BYTES) * network.embedding;
    await Promise.all(
      found.map(async ({ state, embeddings, flippedEmbeddings }) => {
        const both = await Promise.all([embed(context, state, batch), embed(context, state, flipped)]);
        embeddings.set(both[0].subarray(0, numbers), from * network.embedding);
        flippedEmbeddings.set(both[1].subarray(0, numbers), from * network.embedding);
      }),
    );
  }
  return found.map(({ embeddings, flippedEmbeddings }) =>
    evaluatePairs({
      embeddings,
      flippedEmbeddings,
      pairs: context.pairs,
      folds: context.folds,
      embeddingSize: network.embedding,
    }),
  );
}

/**
 * For a promise that is awaited later or, after another failure, never: its own failure must not end the
 * process.
 */
function ignoringLater<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}

async function embed(
  context: EvaluationContext,
  state: NetworkState,
  batch: Uint8Array,
): Promise<Float32Array> {
  const { graph, inputs } = context.network;
  const outputs = await context.compute.runGraph(graph, [...inputs(state), batch]);
  const [embeddings] = outputs;
  if (!embeddings) throw new FleetError('internal', 'the evaluation graph gave no output');
  return embeddings;
}

/**
 * The graph has one batch size, so the last batch is filled up with black images whose embeddings are
 * dropped.
 */
function fullBatch(images: Uint8Array): Uint8Array {
  if (images.length === EVALUATION_BATCH * IMAGE_BYTES) return images;
  const full = new Uint8Array(EVALUATION_BATCH * IMAGE_BYTES);
  full.set(images);
  return full;
}

export interface ChosenExample {
  /** Index into the pairs. */
  readonly pair: number;
  readonly right: boolean;
}

/**
 * The hardest wrong and the hardest right pairs of both sorts: those nearest to the far side of the
 * threshold.
 */
export function chooseExamples(
  pairs: readonly Pair[],
  verification: Pick<Verification, 'distances' | 'threshold'>,
  each: number = EXAMPLES_EACH,
): ChosenExample[] {
  const { distances, threshold } = verification;
  // Positive: how far a pair lies on the wrong side.
  const wrongness = (i: number) => (pairs[i]!.same ? 1 : -1) * (distances[i]! - threshold);
  const isRight = (i: number) => distances[i]! < threshold === pairs[i]!.same;
  const hardestFirst = pairs.map((_, i) => i).sort((a, b) => wrongness(b) - wrongness(a) || a - b);
  return [false, true].flatMap((right) =>
    [true, false].flatMap((same) =>
      hardestFirst
        .filter((i) => isRight(i) === right && pairs[i]!.same === same)
        .slice(0, each)
        .map((pair) => ({ pair, right })),
    ),
  );
}

async function drawExamples(context: EvaluationContext, verification: Verification): Promise<PairExample[]> {
  const chosen = chooseExamples(context.pairs, verification);
  return Promise.all(
    chosen.map(async ({ pair }) => {
      const { a, b, same } = context.pairs[pair]!;
      return {
        pngA: await pngOf(await context.images.read(a, 1)),
        pngB: await pngOf(await context.images.read(b, 1)),
        same,
        distance: verification.distances[pair]!,
        threshold: verification.threshold,
      };
    }),
  );
}

/** Evenly chosen points of the curve, its ends among them. */
export function thinned(
  roc: { readonly fpr: readonly number[]; readonly tpr: readonly number[] },
  pointsMax: number = ROC_POINTS_MAX,
): { fpr: number[]; tpr: number[] } {
  const count = Math.min(pointsMax, roc.fpr.length);
  const chosen = Array.from({ length: count }, (_, i) =>
    count === 1 ? 0 : Math.round((i * (roc.fpr.length - 1)) / (count - 1)),
  );
  return { fpr: chosen.map((i) => roc.fpr[i]!), tpr: chosen.map((i) => roc.tpr[i]!) };
}
