// The state that SGD trains, on the device of an engine: weights, momentum and running statistics lie there from
// step to step, the compiled update (sgd-module.ts) takes them over and gives them back in the same memory, and only
// the mean goes in. Decides what comes out: the weights after each step, because their digest travels with the next
// one, all three when somebody asks.

import type { Layout } from '../nn/layout.ts';
import type { Engine, Resident, ResidentModule } from '../tensor/graph/engine.ts';
import { type AppliedStep, assessStep, type OptimizerOptions } from './sgd.ts';
import { updateModule } from './sgd-module.ts';

/** The vectors of a state on the host: weights [P], momentum [P], running [S]. */
export interface SgdArrays {
  readonly weights: Float32Array;
  readonly momentum: Float32Array;
  readonly running: Float32Array;
}

/** A state on the device. Whoever made it frees it. */
export interface ResidentSgd {
  /** The weights as an input of graphs; they are over with the next step. */
  weights(): Resident;
  /**
   * One step, with the bits of applyStep and its failures. `mean` [P + S + 3] is divided by the number of shards.
   * Writes the new weights into `weights` [P], which holds those before the step.
   */
  apply(request: {
    readonly update: ResidentModule;
    readonly mean: Float32Array;
    readonly learningRate: number;
    readonly weights: Float32Array;
    readonly step?: number;
  }): AppliedStep;
  /** Copies the state to the host. */
  read(into: SgdArrays): void;
  /** Bytes on the device. */
  readonly bytes: number;
  /** A second call does nothing. */
  free(): void;
}

/** The update for states of this layout, or undefined where the engine keeps vectors on the host. */
export function compileUpdate(
  engine: Engine,
  options: { readonly layout: Layout; readonly optimizer: OptimizerOptions; readonly cacheDir?: string },
): ResidentModule | undefined {
  const { layout, optimizer, cacheDir } = options;
  return engine.compileModule?.(updateModule(layout, optimizer), {
    what: "the optimiser's update",
    cacheDir,
  });
}

/** Puts a state onto the device. */
export function keepState(
  engine: Engine,
  options: { readonly layout: Layout; readonly optimizer: OptimizerOptions; readonly state: SgdArrays },
): ResidentSgd {
  const { layout, optimizer, state } = options;
  const { weights, momentum, running } = state;
  const arrays = [weights, momentum, running];
  let vectors = keepAll(engine, arrays);
  return {
    weights: () => vectors[0]!,
    apply({ update, mean, learningRate, weights, step }) {
      const { applied, scale } = assessStep({
        ...{ layout, mean, optimizer, weights: () => weights },
        ...(step === undefined ? {} : { step }),
      });
      vectors = update.run(vectors, [mean, Float64Array.of(scale), Float64Array.of(learningRate)]);
      vectors[0]!.read(weights);
      return applied;
    },
    read(into) {
      const places = [into.weights, into.momentum, into.running];
      for (const [index, vector] of vectors.entries()) vector.read(places[index]!);
    },
    bytes: arrays.reduce((sum, { byteLength }) => sum + byteLength, 0),
    free() {
      for (const vector of vectors) vector.free();
    },
  };
}

/** All or none: a device may have room for the first only. */
function keepAll(engine: Engine, arrays: readonly Float32Array[]): Resident[] {
  const kept: Resident[] = [];
  try {
    for (const array of arrays) kept.push(engine.keep(array));
    return kept;
  } catch (caught) {
    for (const vector of kept) vector.free();
    throw caught;
  }
}
