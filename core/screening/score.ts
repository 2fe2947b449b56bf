// The scores of one network at its initial weights, on the backend of this thread. Decides what each is computed from:
// the weights that the seed gives, and the same two batches for every network. Each function is compiled and freed again:
// of a network of 4 channels that takes about 0.2 s of processor time, and a pass of 16 images another 0.12 s or more.
//
// Legend: N images, B batches.

import { FleetError, toFleetError } from '../errors.ts';
import { buildNetwork } from '../nn/build.ts';
import { initialWeights } from '../nn/init.ts';
import { layoutOf } from '../nn/layout.ts';
import { type TensorFunction, trainingFunction } from '../nn/step-function.ts';
import type { NetworkSpec } from '../spec/network.ts';
import type { ScoreName } from '../spec/screening.ts';
import type { TrainingSpec } from '../spec/training.ts';
import { compileGraph, type GraphArray } from '../tensor/graph/compiled.ts';
import { initialPass, normalisedPixels } from './initial-pass.ts';
import { naswot } from './naswot.ts';
import { synflow } from './synflow.ts';
import { zen, zenImages } from './zen.ts';
import { zico } from './zico.ts';

/** Images of zen, which are drawn and not of any data. */
const ZEN_IMAGES = 16;

/** What is scored, and by what. */
export interface ScoreRequest {
  readonly network: NetworkSpec;
  /** Of the initial weights. */
  readonly seed: number;
  readonly scores: readonly ScoreName[];
  readonly loss: TrainingSpec['loss'];
  /** [N, 112, 112, 3] and [N] labels from 0 to `classes` - 1; two for ZiCo, one for NASWOT, none for the others. */
  readonly batches: readonly { readonly images: Uint8Array; readonly labels: Int32Array }[];
  readonly classes: number;
}

/** A score, or why there is none. Higher is better. */
export interface Scored {
  readonly score: ScoreName;
  readonly value?: number;
  readonly reason?: string;
}

/** The scores of a network in the order asked for; what one cannot be computed for is said of it alone. */
export function scoreNetwork(request: ScoreRequest): Scored[] {
  const network = buildNetwork(request.network);
  const layout = layoutOf(network);
  const withHead = layoutOf(network, { classes: Math.max(1, request.classes) });
  const weights = initialWeights(withHead, request.seed);
  const backbone = weights.subarray(0, layout.parameterCount);
  const [first] = request.batches;
  const computed = (score: ScoreName): number => {
    switch (score) {
      case 'synflow':
        return synflow(network, layout, backbone);
      case 'naswot': {
        if (first === undefined) throw noImages(score);
        const images = first.labels.length;
        const pass = initialPass({ network, layout, images });
        const [found] = runs(pass, [[backbone, normalisedPixels(first.images)]]);
        return naswot(network, images, found![2]!);
      }
      case 'zen': {
        const pass = initialPass({ network, layout, images: ZEN_IMAGES });
        const [x, changed] = zenImages(request.seed, ZEN_IMAGES);
        const [base, other] = runs(pass, [
          [backbone, x],
          [backbone, changed],
        ]);
        const embeddings = [base![0]!, other![0]!] as const;
        return zen({ layout, images: ZEN_IMAGES, embeddings, statistics: base![1]! });
      }
      case 'zico': {
        if (first === undefined) throw noImages(score);
        const { loss } = request;
        const batch = first.labels.length;
        const step = trainingFunction({ network, layout: withHead, batch, loss });
        const gradients = runs(
          step,
          request.batches.map(({ images, labels }) => [weights, images, labels]),
        ).map(([gradient]) => gradient!);
        return zico(network, withHead, gradients);
      }
    }
  };
  return request.scores.map((score) => {
    try {
      return { score, value: computed(score) };
    } catch (caught) {
      return { score, reason: toFleetError(caught).message };
    }
  });
}

const noImages = (score: ScoreName): FleetError =>
  new FleetError('invalidArgument', `${score} needs images, and got none`);

/** Runs a function on each of these inputs. Its graph is freed, because no other network has it. */
function runs(function_: TensorFunction, inputs: readonly (readonly GraphArray[])[]): Float32Array[][] {
  const graph = compileGraph({ key: 'score', ...function_ });
  try {
    return inputs.map((arrays) => graph.run(arrays));
  } finally {
    graph.dispose();
  }
}
