// What compiles and runs recorded functions: TensorFlow's session, or a plugin of PJRT. Decides what both give:
// functions of arrays, in one part or in two, and vectors that stay where the engine computes.

import { FleetError } from '../../errors.ts';
import type { LoweredModule } from '../lowering/lower.ts';
import type { FirstPart } from '../passes/cut.ts';
import type { GraphInput } from '../recording/record.ts';
import type { CompileOptions } from './obtain.ts';
import { checkArrays, type GraphArray } from './session.ts';

/** A vector that the engine keeps on each of its devices, or on one of them. Whoever made it frees it. */
export interface Resident {
  readonly length: number;
  /** The engine's devices that have it. */
  readonly devices: readonly number[];
  /**
   * Copies the values that one device has, by default the first that has any, into memory that may be shared between
   * threads.
   */
  read(into: Float32Array, device?: number): void;
  /** A second call does nothing. */
  free(): void;
}

/** An array of the host, or a vector that is on the device already. */
export type EngineInput = GraphArray | Resident;

/** One run of a graph on one of the engine's devices. */
export interface PlacedRun {
  readonly inputs: readonly EngineInput[];
  readonly device: number;
}

/** A graph that is ready to run. */
export interface CompiledGraph {
  /**
   * Runs the graph on this thread and returns when it is done. Takes one array an input, in order. With `into`
   * the first output is written there and is no part of the result; the other outputs are copies.
   */
  run(inputs: readonly EngineInput[], into?: Float32Array): Float32Array[];
  /**
   * Makes the runs, at the same time where they are on several devices; the first output of each, which stays on the
   * device of its run. Whoever called frees them. Absent where vectors are kept on the host.
   */
  readonly runPlaced?: (runs: readonly PlacedRun[]) => Resident[];
  /**
   * Runs the graph and leaves its first output on the first device. Whoever called frees it. Absent as runPlaced is.
   */
  readonly runLeaving?: (inputs: readonly EngineInput[]) => {
    readonly first: Resident;
    readonly others: Float32Array[];
  };
  /** Number of operations in the graph, constants and inputs included. */
  readonly nodes: number;
  /** SHA-256 of the graph. Graphs of equal digests compute the same bits on one device class. */
  readonly digest: string;
  readonly inputs: readonly GraphInput[];
  readonly outputShapes: readonly (readonly number[])[];
  /** false when a stored graph made recording unnecessary. */
  readonly recorded: boolean;
  /** Frees the graph; a second call does nothing. */
  dispose(): void;
}

/** A function to compile, and how much of it is the first part. */
export interface TwoPartOptions extends CompileOptions {
  readonly first: FirstPart;
}

/**
 * A graph that is ready to run in two parts. Computations may be begun in any number and finished in any
 * order.
 */
export interface TwoPartGraph {
  /**
   * Runs the first part. What is given must neither change nor be freed before the second part has run. With `keep`
   * what the second part reads is kept, where keptBytes says that it can be.
   */
  begin(inputs: readonly EngineInput[], keep: boolean): Begun;
  /**
   * Bytes that one computation keeps between its parts; undefined where the first part is always computed
   * again.
   */
  readonly keptBytes: number | undefined;
  /** Number of computations that are begun and neither finished nor released. */
  begun(): number;
  readonly nodes: number;
  readonly digest: string;
  readonly recorded: boolean;
  /** Frees the graph and everything that open computations keep; a second call does nothing. */
  dispose(): void;
}

/** A computation after its first part. */
export interface Begun {
  readonly outputs: Float32Array[];
  /** What it keeps until it is finished or released. */
  readonly kept: { readonly tensors: number; readonly bytes: number };
  /**
   * Runs the second part with the remaining inputs. With `into` the first output is written there and is no part of
   * the result. The computation is over afterwards, whether this succeeds or throws.
   */
  finish(inputs: readonly GraphArray[], into?: Float32Array): Float32Array[];
  /** Frees what is kept, where the computation will not be finished; a second call does nothing. */
  release(): void;
}

/** A module over vectors of the devices. */
export interface ResidentModule {
  /**
   * Runs it on each device that has its vectors, which are at least one, on its arguments in this order: vectors whose
   * memory the first results take, vectors that stay, arrays of the host. The donated ones are over once it ran, also
   * where that failed. Whoever called frees the results.
   */
  run(given: {
    readonly donated?: readonly Resident[];
    readonly kept?: readonly Resident[];
    readonly arrays?: readonly (Float32Array | Float64Array | Int32Array)[];
  }): Resident[];
  /**
   * Runs it once a list, each on the one device of the vectors of the list, at the same time where those are several;
   * the first result of each, which is on that device alone. Donated vectors and results are as of `run`.
   */
  runPlaced(
    lists: readonly { readonly donated: readonly Resident[]; readonly kept: readonly Resident[] }[],
  ): Resident[];
  dispose(): void;
}

export interface Engine {
  readonly name: 'tensorflow' | 'pjrt';
  /** How many devices compute. */
  readonly devices: number;
  compile(options: CompileOptions): CompiledGraph;
  compileTwoPart(options: TwoPartOptions): TwoPartGraph;
  /** Puts a vector onto each device, or onto one. */
  keep(values: Float32Array, device?: number): Resident;
  /** Compiles a module over vectors of the device. Absent where vectors are kept on the host. */
  readonly compileModule?: (
    module: LoweredModule,
    options: { readonly what: string; readonly cacheDir?: string | undefined },
  ) => ResidentModule;
}

/** Whether an input is an array of the host. */
export const isArray = (input: EngineInput): input is GraphArray => ArrayBuffer.isView(input);

/** Refuses inputs that are not as declared. A vector of the device stands for a float32 input of its length. */
export function checkEngineInputs(declared: readonly GraphInput[], given: readonly EngineInput[]): void {
  if (given.every(isArray) || given.length !== declared.length) {
    checkArrays(declared, given as readonly GraphArray[]);
    return;
  }
  for (const [index, input] of given.entries()) {
    const one = declared[index]!;
    if (isArray(input)) {
      checkArrays([one], [input]);
      continue;
    }
    const length = one.shape.reduce((product, size) => product * size, 1);
    if (one.dtype !== 'float32' || input.length !== length)
      throw new FleetError(
        'invalidArgument',
        `input ${one.name} is ${one.dtype} [${one.shape}], ${length} values; it was given a vector of ${input.length} float32 on the device`,
      );
  }
}

/** Puts vectors onto each device, or onto one. All or none: a device may have room for the first only. */
export function keepAll(
  engine: Pick<Engine, 'keep'>,
  arrays: readonly Float32Array[],
  device: number | undefined,
): Resident[] {
  const kept: Resident[] = [];
  try {
    for (const array of arrays) kept.push(engine.keep(array, device));
    return kept;
  } catch (caught) {
    for (const vector of kept) vector.free();
    throw caught;
  }
}

/** The values that one device has, by default the first that has any. */
export function valuesOf(vector: Resident, device?: number): Float32Array {
  const values = new Float32Array(vector.length);
  vector.read(values, device);
  return values;
}
