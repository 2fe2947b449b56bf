// What the state of a search at the end of a stage stands for: a genotype and the means of both losses, and where
// the spec asks for it the scores of the search network over the half of the alphas. Decides what is evaluated at
// which stage, and who computes which part of it.
//
// The half is cut into the batches that the first epoch has of it, each image once, and each shard scores its own
// part of each batch. What a shard has counted is summed over the gang like a gradient, so that scores do not depend
// on the number of members. An evaluation reads the state and writes nothing. A change of the gang begins it again.

import { alphasText } from '../../core/nn/alphas-text.ts';
import { decodeAlphas } from '../../core/nn/decode.ts';
import { codeOf, keyOfCode } from '../../core/nn/genotype-code.ts';
import { alphasOf } from '../../core/nn/supernet.ts';
import { type LogitsScore, scoreLogits } from '../../core/search/logits-score.ts';
import { alphasWithout } from '../../core/search/one-hot.ts';
import { decodePerturbed, PERTURBATIONS } from '../../core/search/perturbation.ts';
import type { Genotype } from '../../core/spec/network.ts';
import type { SearchBlock, SearchFound } from '../../core/spec/search.ts';
import { ALPHAS, type StateVectors, vectorNamed, WEIGHTS } from '../../core/state-vectors.ts';
import type { Compute } from '../compute/client.ts';
import type { GraphSpec } from '../compute/messages.ts';
import type { BatchSource } from './batch-source.ts';
import type { Replica } from './replica.ts';
import type { RoundExchange } from './search-gang.ts';

/** The vector of sums over the open stage: losses of both halves, steps, and steps in which alphas moved. */
export const LOSSES = 'losses';

/** What evaluating takes at one member. */
export interface Evaluator {
  readonly search: SearchBlock;
  readonly epochs: number;
  /** Logits of a part of a batch, in evaluation mode. */
  readonly graph: GraphSpec;
  readonly compute: Compute;
  /** Own shards. */
  readonly shards: readonly number[];
  exchange(): RoundExchange;
  /** What the graph takes beside the network's state and images, in the last epoch of a stage. */
  moreInputs(stage: number): readonly Float32Array[];
  readonly signal: AbortSignal;
}

/** Loss and right answers of one evaluation. */
const SCORES = 2;

/** Most evaluations at the end of a stage; 0: there are none at any. */
const evaluationsMax = ({ evaluateEvery, decode }: SearchBlock): number =>
  Number(evaluateEvery !== undefined) + (decode === 'perturb' ? PERTURBATIONS.length : 0);

/** Length of the vector of a shard in their sum. */
export const scoresLength = (search: SearchBlock): number => SCORES * evaluationsMax(search);

/** What the replica stands for at the end of a stage. */
export async function foundAt(
  evaluator: Evaluator,
  at: { readonly stage: number; readonly replica: Replica; readonly alphaBatches: BatchSource },
): Promise<SearchFound> {
  const { search, epochs } = evaluator;
  const { vectors } = at.replica;
  const alphas = vectorNamed(vectors, ALPHAS);
  const { evaluateEvery } = search;
  const isEvaluated = evaluateEvery !== undefined && at.stage % evaluateEvery === 0;
  const isPerturbed = search.decode === 'perturb' && at.stage === epochs;
  const mixtures = [
    ...(isEvaluated ? [alphas] : []),
    ...(isPerturbed ? PERTURBATIONS.map((removal) => alphasWithout(alphas, removal)) : []),
  ];
  const scores = mixtures.length === 0 ? [] : await evaluate(evaluator, mixtures, at);
  const perturbed = scores.slice(Number(isEvaluated)).map(({ accuracy }) => accuracy);
  return {
    genotype: keyOfCode(codeOf(genotypeOf(search, alphas, isPerturbed ? perturbed : undefined))),
    ...meanLosses(vectors),
    ...(isEvaluated ? { evaluation: scores[0]! } : {}),
    alphas: alphasText(alphas),
  };
}

/** Without accuracies of the perturbations, before the last stage, alphas are all that there is to decode. */
function genotypeOf(
  { decode, skips }: SearchBlock,
  alphas: Float32Array,
  perturbed: readonly number[] | undefined,
): Genotype {
  const limits = { skipsMax: skips?.max };
  if (perturbed !== undefined) return decodePerturbed(perturbed, limits);
  return decodeAlphas(alphasOf(alphas), decode === 'perturb' ? 'raw' : decode, limits);
}

function meanLosses(state: StateVectors): Pick<SearchFound, 'trainingLoss' | 'validationLoss'> {
  const [training, validation, steps, moves] = vectorNamed(state, LOSSES);
  return {
    trainingLoss: training! / steps!,
    ...(moves === 0 ? {} : { validationLoss: validation! / moves! }),
  };
}

/** The search network's loss and accuracy over the half of the alphas, at each of these alphas [A]. */
async function evaluate(
  evaluator: Evaluator,
  mixtures: readonly Float32Array[],
  at: Parameters<typeof foundAt>[1],
): Promise<NonNullable<SearchFound['evaluation']>[]> {
  const { shards, signal } = evaluator;
  const { images, shards: all } = at.alphaBatches.schedule;
  const exchange = evaluator.exchange();
  const vectors = await Promise.all(
    shards.map(async (shard) => {
      const scores = await scoreShard(evaluator, mixtures, { ...at, shard });
      const vector = exchange.vector(shard).fill(0);
      for (const [i, { loss, right }] of scores.entries()) vector.set([loss, right], SCORES * i);
      return [shard, vector] as const;
    }),
  );
  signal.throwIfAborted();
  const mean = await exchange.sum(new Map(vectors), { digest: at.replica.digest, fresh: true });
  // Counts below 2^24 are exact in float32, and so is their division by V, a power of two.
  return mixtures.map((_, i) => ({
    loss: (mean[SCORES * i]! * all) / images,
    accuracy: (mean[SCORES * i + 1]! * all) / images,
  }));
}

/** What a shard counts, by mixture. Each of its batches is read once, for all of them. */
async function scoreShard(
  { graph, compute, moreInputs, signal }: Evaluator,
  mixtures: readonly Float32Array[],
  {
    stage,
    replica,
    alphaBatches,
    shard,
  }: Parameters<typeof foundAt>[1] & {
    readonly shard: number;
  },
): Promise<LogitsScore[]> {
  const { images, batch, shards } = alphaBatches.schedule;
  const sums = mixtures.map(() => ({ loss: 0, right: 0 }));
  const [weights, running] = [WEIGHTS, 'running'].map((name) => vectorNamed(replica.vectors, name));
  const more = moreInputs(stage);
  for (let step = 0; step * batch < images; step++) {
    const counted = Math.min(batch / shards, images - step * batch - (shard * batch) / shards);
    // What the last batch has beyond the epoch is counted in its first places.
    if (counted <= 0) break;
    const { images: pixels, labels } = await alphaBatches.take(step, shard);
    for (const [i, alphas] of mixtures.entries()) {
      signal.throwIfAborted();
      const [logits] = await compute.runGraph(graph, [weights!, alphas, running!, pixels, ...more]);
      const { loss, right } = scoreLogits(logits!, labels, counted);
      sums[i]!.loss += loss;
      sums[i]!.right += right;
    }
  }
  return sums;
}
