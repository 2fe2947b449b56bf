// A class shard on the device of an engine: weights and momentum of its rows lie there from step to step, and so do the
// rows that take part in the open step, where not all do, and their gradient until it is committed. Decides what
// crosses: the numbers of the rows that take part and two scalars go in with each step, and one number comes out; rows
// come out when somebody asks.

import type { OptimizerOptions } from '../optim/sgd.ts';
import {
  type Engine,
  keepAll,
  type Resident,
  type ResidentModule,
  valuesOf,
} from '../tensor/graph/engine.ts';
import { assertFinite } from './rows.ts';
import { chosenRowsModule, type RowsShape, rowsModule } from './rows-module.ts';

/** Rows of a class shard on the host. */
export interface RowsArrays {
  /** [count, E] */
  readonly weights: Float32Array;
  /** [count, E] */
  readonly momentum: Float32Array;
}

/** What moves class shards of a shape. */
export interface RowsPrograms {
  readonly update: ResidentModule;
  /** Undefined where all rows take part. */
  readonly chosenRows: ResidentModule | undefined;
  dispose(): void;
}

/** How the rows of a class shard move in a step. */
export interface CommitOptions {
  /** What the gradient is multiplied by; a power of two. */
  readonly scale: number;
  readonly learningRate: number;
  /** For error messages. */
  readonly step: number;
}

/** Whoever made it frees it. */
export interface ResidentRows {
  /** The rows with these numbers, ascending, take part in the open step; what was left of an earlier one is dropped. */
  choose(programs: RowsPrograms, chosen: Uint32Array): void;
  /** The weights of the rows that take part, as an input of graphs; they are over with the next step. */
  chosenRows(): Resident;
  /** The gradient of those, [chosen E], which is freed with the step. */
  take(gradient: Resident): void;
  /** One step by that gradient, with the bits of updateRows and its failure, after which nothing is changed. */
  commit(programs: RowsPrograms, options: CommitOptions): void;
  /** Copies rows to the host, and the gradient of the open step where there is one. */
  read(into: RowsArrays & { readonly gradient: Float32Array }): void;
  /** What lies on the device. */
  gauges(): { readonly tensors: number; readonly bytes: number };
  /** A second call does nothing. */
  free(): void;
}

/** The programs for class shards of this shape, or undefined where the engine keeps vectors on the host. */
export function compileRows(
  { compileModule }: Pick<Engine, 'compileModule'>,
  {
    rows,
    optimizer,
    cacheDir,
  }: { readonly rows: RowsShape; readonly optimizer: OptimizerOptions; readonly cacheDir?: string },
): RowsPrograms | undefined {
  if (compileModule === undefined) return undefined;
  const update = compileModule(rowsModule(rows, optimizer), {
    ...{ what: 'the update of a class shard', cacheDir },
  });
  const chosenRows =
    rows.chosen === rows.count
      ? undefined
      : compileModule(chosenRowsModule(rows), { what: 'the rows of a class shard', cacheDir });
  return {
    update,
    chosenRows,
    dispose() {
      update.dispose();
      chosenRows?.dispose();
    },
  };
}

/** Puts a class shard onto the first device. */
export function keepRows(engine: Engine, arrays: RowsArrays): ResidentRows {
  let [weights, momentum] = keepAll(engine, [arrays.weights, arrays.momentum], 0) as [Resident, Resident];
  let open: { chosen: Uint32Array; rows?: Resident; gradient?: Resident } | undefined;
  const close = () => {
    open?.rows?.free();
    open?.gradient?.free();
    open = undefined;
  };
  const opened = () => {
    if (open === undefined) throw new Error('assertion: no rows were chosen for the open step');
    return open;
  };
  return {
    choose(programs, chosen) {
      close();
      const rows = programs.chosenRows?.run({ kept: [weights], arrays: [Int32Array.from(chosen)] })[0];
      open = { chosen, ...(rows === undefined ? {} : { rows }) };
    },
    chosenRows: () => opened().rows ?? weights,
    take(gradient) {
      opened().gradient?.free();
      opened().gradient = gradient;
    },
    commit(programs, { scale, learningRate, step }) {
      const { chosen, gradient } = opened();
      if (gradient === undefined) throw new Error(`assertion: step ${step} has no gradient of these rows`);
      const scalars = [Float64Array.of(scale), Float64Array.of(learningRate)];
      const places = programs.chosenRows === undefined ? [] : [rowPlaces(chosen, weights, gradient)];
      const [nextWeights, nextMomentum, flag] = programs.update.run({
        donated: [weights, momentum],
        kept: [gradient],
        arrays: [...places, ...scalars],
      });
      [weights, momentum] = [nextWeights!, nextMomentum!];
      const finite = valuesOf(flag!)[0] === 1;
      flag!.free();
      if (!finite) assertFinite({ gradient: valuesOf(gradient), step });
      close();
    },
    read(into) {
      weights.read(into.weights);
      momentum.read(into.momentum);
      open?.gradient?.read(into.gradient);
    },
    gauges() {
      const held = [weights, momentum, open?.rows, open?.gradient].filter((one) => one !== undefined);
      return { tensors: held.length, bytes: held.reduce((sum, { length }) => sum + 4 * length, 0) };
    },
    free() {
      weights.free();
      momentum.free();
      close();
    },
  };
}

/** Of each row its place among those that take part, or -1. */
function rowPlaces(chosen: Uint32Array, weights: Resident, gradient: Resident): Int32Array {
  const embedding = gradient.length / chosen.length;
  const places = new Int32Array(weights.length / embedding).fill(-1);
  chosen.forEach((row, place) => {
    places[row] = place;
  });
  return places;
}
