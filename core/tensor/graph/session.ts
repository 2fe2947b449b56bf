// A graph in TensorFlow's session, and the tensors that it is fed and returns, by their numbers in the
// library. The code that gets a number owns the tensor and must delete it. Decides which arrays may be fed:
// the library reads a fed array by the declared shape and checks nothing.

import { FleetError, toFleetError } from '../../errors.ts';
import { DT } from '../ops/kernels.ts';
import type { GraphInput } from '../recording/record.ts';
import { nativeBackend } from '../tf.ts';
import { inputName, outputName } from './saved-model.ts';

/** Values of one input or output, row by row; the memory may be shared between threads. */
export type GraphArray = Float32Array | Int32Array | Uint8Array;

/** A graph in a session of its own. */
export interface LoadedGraph {
  /**
   * Runs on this thread and returns when it is done: the tensors of `fetches`, which the caller owns. `feeds`
   * and `fetches` are the session's names (`node:output`), `fed` the tensors for `feeds`.
   */
  run(feeds: readonly string[], fed: readonly number[], fetches: readonly string[]): number[];
  /**
   * Runs on this thread with arrays for the declared inputs, and with `kept` tensors for other names. Returns the values
   * of `fetches`. With `into` the first is written there and is no part of the result.
   */
  compute(run: {
    readonly inputs: readonly GraphInput[];
    readonly arrays: readonly GraphArray[];
    readonly kept?: { readonly names: readonly string[]; readonly tensors: readonly number[] };
    readonly fetches: readonly string[];
    readonly into?: Float32Array | undefined;
  }): Float32Array[];
  /** Frees the graph; a second call does nothing. */
  dispose(): void;
}

/** Loads a SavedModel folder, which may be deleted afterwards. */
export function loadGraph(folder: string): LoadedGraph {
  const { binding } = nativeBackend();
  let model: number;
  try {
    model = binding.loadSavedModel(folder, 'serve');
  } catch (caught) {
    throw toFleetError(caught, `loading the compiled graph in ${folder}`);
  }
  let disposed = false;

  function running<T>(work: () => T): T {
    if (disposed) throw new FleetError('failedPrecondition', 'this compiled graph was disposed');
    try {
      return work();
    } catch (caught) {
      throw toFleetError(caught, 'running a compiled graph');
    }
  }

  const run: LoadedGraph['run'] = (feeds, fed, fetches) =>
    running(() => binding.runSavedModel(model, [...fed], feeds.join(), fetches.join()).map(({ id }) => id));

  return {
    run,
    compute({ inputs, arrays, kept = { names: [], tensors: [] }, fetches, into }) {
      const feeds = [...inputNames(inputs), ...kept.names];
      if (binding.runGraph !== undefined) {
        const shapes = [...inputs.map(({ shape }) => shape), ...kept.names.map(() => [])];
        const places = fetches.map((_, index) => (index === 0 && into !== undefined ? into : null));
        const values = running(() =>
          binding.runGraph!(
            model,
            feeds.join(),
            [...arrays, ...kept.tensors],
            shapes,
            fetches.join(),
            places,
          ),
        );
        return into === undefined ? values : values.slice(1);
      }
      // An addon that set-up did not build. Feeding shares the arrays' memory, which is safe because the run ends
      // before this returns.
      return deletingTensors((held) => {
        const ids = run(feeds, [...feedArrays(inputs, arrays, held), ...kept.tensors], fetches);
        held.push(...ids);
        const values = readOutputs(ids);
        if (into !== undefined) into.set(values.shift()!);
        return values;
      });
    },
    dispose() {
      if (!disposed) binding.deleteSavedModel(model);
      disposed = true;
    },
  };
}

/** The session's names of declared inputs; `from` is the number of the first of them. */
export const inputNames = (inputs: readonly GraphInput[], from = 0): string[] =>
  inputs.map((_, index) => `${inputName(from + index)}:0`);

/** The session's names of the first `count` outputs. */
export const outputNames = (count: number): string[] =>
  Array.from({ length: count }, (_, index) => `${outputName(index)}:0`);

/** Runs `use` with a list of tensors and deletes those that are on it at the end, also when `use` throws. */
export function deletingTensors<T>(use: (held: number[]) => T): T {
  const held: number[] = [];
  try {
    return use(held);
  } finally {
    deleteTensors(held);
  }
}

/** Deletes tensors of the library. */
export function deleteTensors(ids: readonly number[]): void {
  const { binding } = nativeBackend();
  for (const id of ids) binding.deleteTensor(id);
}

/** Tensors that share the arrays' memory, one an input; each is also put on the list `held`. */
export function feedArrays(
  inputs: readonly GraphInput[],
  arrays: readonly GraphArray[],
  held: number[],
): number[] {
  const { binding } = nativeBackend();
  return inputs.map(({ dtype, shape }, index) => {
    const id = binding.createTensor([...shape], DT[dtype], arrays[index]);
    held.push(id);
    return id;
  });
}

/** Refuses a place for the first output that has another length. */
export function checkPlace(shapes: readonly (readonly number[])[], into: Float32Array | undefined): void {
  const length = shapes[0]?.reduce((product, size) => product * size, 1) ?? 0;
  if (into !== undefined && into.length !== length)
    throw new FleetError('internal', `the graph gives ${length} numbers where ${into.length} belong`);
}

/** Copies of the values of outputs. */
export function readOutputs(ids: readonly number[]): Float32Array[] {
  const { binding } = nativeBackend();
  return ids.map((id) => binding.tensorDataSync(id) as Float32Array);
}

const ARRAYS = { float32: Float32Array, int32: Int32Array, uint8: Uint8Array } as const;

/** Refuses inputs of equal names. */
export function checkInputs(inputs: readonly GraphInput[]): void {
  const names = new Set(inputs.map((input) => input.name));
  if (names.size !== inputs.length)
    throw new FleetError(
      'invalidArgument',
      `two inputs of a graph have the same name: ${inputs.map((input) => input.name).join(', ')}`,
    );
}

/**
 * Refuses arrays of another number, type or length than declared: the library would read beyond their end or
 * abort the process.
 */
export function checkArrays(inputs: readonly GraphInput[], arrays: readonly GraphArray[]): void {
  if (arrays.length !== inputs.length)
    throw new FleetError(
      'invalidArgument',
      `the graph takes ${inputs.length} inputs (${inputs.map((input) => input.name).join(', ')}), not ${arrays.length}`,
    );
  for (const [index, { name, dtype, shape }] of inputs.entries()) {
    const array = arrays[index]!;
    const length = shape.reduce((product, size) => product * size, 1);
    if (!(array instanceof ARRAYS[dtype]) || array.length !== length)
      throw new FleetError(
        'invalidArgument',
        `input ${name} is ${dtype} [${shape}], ${length} values; it was given ${array.constructor.name} of ${array.length}`,
      );
  }
}
