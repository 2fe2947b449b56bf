// A class shard on the device of an engine: weights and momentum of its rows lie there from step to step, and so does the
// gradient of the open step until it is committed. Decides what crosses: two scalars go in with each step and one number
// comes out; rows come out when somebody asks.

import type { Engine, Resident, ResidentModule } from '../tensor/graph/engine.ts';
import { assertFinite } from './rows.ts';

/** Rows of a class shard on the host. */
export interface RowsArrays {
  /** [count, E] */
  readonly weights: Float32Array;
  /** [count, E] */
  readonly momentum: Float32Array;
}

export interface CommitOptions {
  /** What the gradient is multiplied by; a power of two. */
  readonly scale: number;
  readonly learningRate: number;
  /** For error messages. */
  readonly step: number;
}

/** Whoever made it frees it. */
export interface ResidentRows {
  /** The weights as an input of graphs; they are over with the next step. */
  weights(): Resident;
  /** The gradient of the open step, which is freed with it; an earlier one is dropped. */
  take(gradient: Resident): void;
  /** One step by that gradient, with the bits of updateRows and its failure, after which nothing is changed. */
  commit(update: ResidentModule, options: CommitOptions): void;
  /** Copies rows to the host, and the gradient of the open step where there is one. */
  read(into: RowsArrays & { readonly gradient: Float32Array }): void;
  /** What lies on the device. */
  gauges(): { readonly tensors: number; readonly bytes: number };
  /** A second call does nothing. */
  free(): void;
}

/** Puts a class shard onto the first device. */
export function keepRows(engine: Engine, { weights, momentum }: RowsArrays): ResidentRows {
  const vectors = [engine.keep(weights, 0)];
  try {
    vectors.push(engine.keep(momentum, 0));
  } catch (caught) {
    vectors[0]!.free();
    throw caught;
  }
  let [own, moving] = vectors as [Resident, Resident];
  let gradient: Resident | undefined;
  const drop = () => {
    gradient?.free();
    gradient = undefined;
  };
  return {
    weights: () => own,
    take(taken) {
      drop();
      gradient = taken;
    },
    commit(update, { scale, learningRate, step }) {
      if (gradient === undefined) throw new Error(`assertion: step ${step} has no gradient of these rows`);
      const arrays = [Float64Array.of(scale), Float64Array.of(learningRate)];
      const [nextOwn, nextMoving, flag] = update.run({ donated: [own, moving], kept: [gradient], arrays });
      [own, moving] = [nextOwn!, nextMoving!];
      const finite = valuesOf(flag!)[0] === 1;
      flag!.free();
      if (!finite) assertFinite({ gradient: valuesOf(gradient), step });
      drop();
    },
    read(into) {
      own.read(into.weights);
      moving.read(into.momentum);
      gradient?.read(into.gradient);
    },
    gauges() {
      const held = [own, moving, ...(gradient === undefined ? [] : [gradient])];
      return { tensors: held.length, bytes: held.reduce((sum, { length }) => sum + 4 * length, 0) };
    },
    free() {
      own.free();
      moving.free();
      drop();
    },
  };
}

function valuesOf(vector: Resident): Float32Array {
  const values = new Float32Array(vector.length);
  vector.read(values);
  return values;
}
