// Functions of tensors on the CPU plugin of PJRT, through their lowering, and beside them what TensorFlow's own
// operations give for the same inputs. Many cases become one module, because compiling costs more than running.

import assert from 'node:assert/strict';
import {
  type LoweredModule,
  type LowerOptions,
  lower,
  recordLowerable,
} from '../../core/tensor/lowering/lower.ts';
import type { ElementType, Program } from '../../core/tensor/pjrt/client.ts';
import type { GraphInput, Recording } from '../../core/tensor/recording/record.ts';
import { type Tensor, tf } from '../../core/tensor/tf.ts';
import { cpuClient } from './pjrt.ts';
import { elements, numbers } from './tensors.ts';

export type Values = Float32Array | Float64Array | Int32Array | Uint8Array;

/** A module that is compiled on the CPU plugin. */
export interface Compiled {
  run(inputs: readonly Values[]): Values[];
  /** Bytes of results that take the place of a donated argument. */
  readonly aliased: number | undefined;
  free(): void;
}

const ARRAYS = { f32: Float32Array, f64: Float64Array, i32: Int32Array, ui8: Uint8Array } as const;

/** Compiles a module for one device of the CPU plugin. */
export function compileModule(module: LoweredModule, what = 'the module'): Compiled {
  const client = cpuClient();
  const program: Program = client.compile({ what, code: module.text });
  return {
    aliased: program.bytes.aliased,
    run(inputs) {
      assert.equal(inputs.length, module.inputs.length);
      const buffers = inputs.map((values, i) => {
        const { element, shape } = module.inputs[i]!;
        return client.upload(values, element as ElementType, shape);
      });
      const results = program.run(buffers);
      const read = results.map((result, i) => {
        const { element, shape } = module.outputs[i]!;
        const into = new ARRAYS[element as keyof typeof ARRAYS](elements(shape));
        result.read(into);
        return into;
      });
      for (const buffer of [...buffers, ...results]) buffer.free();
      return read;
    },
    free: program.free,
  };
}

/** Records, lowers and compiles a function. */
export function compileLowered(
  recorded: Parameters<typeof recordLowerable>[0],
  options: LowerOptions = {},
): Compiled & { readonly recording: Recording } {
  const recording = recordLowerable(recorded);
  return { ...compileModule(lower(recording, options)), recording };
}

/** One operation, or a few, on given inputs. */
export interface Case {
  readonly title: string;
  readonly inputs: readonly {
    readonly shape: readonly number[];
    readonly values: Float32Array | Int32Array;
  }[];
  /** Returns float32 tensors. */
  readonly build: (inputs: Tensor[]) => Tensor[];
  /**
   * Largest difference of each value of each output, from what TensorFlow gives. `run` computes the function by
   * TensorFlow on other values of the same inputs.
   */
  readonly bound: (
    wanted: readonly Float32Array[],
    run: (values: readonly (Float32Array | Int32Array)[]) => readonly Float32Array[],
    inputs: readonly (Float32Array | Int32Array)[],
  ) => readonly ((index: number) => number)[];
}

/** Unit roundoff of float32. */
export const EPSILON = 2 ** -24;

/** A float32 input of numbers in [-1, 1). */
export const floats = (shape: readonly number[], seed: number) => ({
  shape,
  values: numbers(elements(shape), seed),
});

/** Equal to the last bit. */
export const exact: Case['bound'] = (wanted) => wanted.map(() => () => 0);

/** Within some roundings of each value. */
export const roundings =
  (count: number): Case['bound'] =>
  (wanted) =>
    wanted.map((values) => (index) => count * EPSILON * Math.abs(values[index]!));

/**
 * For sums of products of the inputs: two sums of n terms in any order differ by at most 2 n eps times the sum of
 * the terms' magnitudes (Higham, Accuracy and Stability of Numerical Algorithms, 4.2), which is the same function
 * of the magnitudes. One more rounding for each product.
 */
export const summing =
  (terms: number): Case['bound'] =>
  (_wanted, run, inputs) => {
    const magnitudes = run(
      inputs.map((values) => values.map((value: number) => Math.abs(value)) as typeof values),
    );
    return magnitudes.map((sums) => (index) => 2 * (terms + 1) * EPSILON * sums[index]!);
  };

/**
 * Compares all cases in one module; the message names case, output, place and both values. `recording` is called
 * with true before the cases are recorded and with false before TensorFlow computes them.
 */
export function compareLowered(cases: readonly Case[], recording: (now: boolean) => void = () => {}): void {
  recording(true);
  const declared: GraphInput[] = [];
  const places = cases.map(({ inputs }) => inputs.map((input) => declared.push(declaredInput(input)) - 1));
  const lowered = compileLowered({
    inputs: declared,
    build: (tensors) => cases.flatMap(({ build }, i) => build(places[i]!.map((at) => tensors[at]!))),
  });
  const results = lowered.run(cases.flatMap(({ inputs }) => inputs.map(({ values }) => values)));
  lowered.free();
  recording(false);
  let next = 0;
  for (const { title, inputs, build, bound } of cases) {
    const run = (values: readonly (Float32Array | Int32Array)[]) => onTensorFlow(inputs, values, build);
    const given = inputs.map(({ values }) => values);
    const wanted = run(given);
    const bounds = bound(wanted, run, given);
    for (const [output, values] of wanted.entries()) {
      const got = results[next++]! as Float32Array;
      assert.equal(got.length, values.length, title);
      for (let i = 0; i < values.length; i++) {
        const close = Object.is(got[i], values[i]) || Math.abs(got[i]! - values[i]!) <= bounds[output]!(i);
        if (!close)
          assert.fail(
            `${title}: output ${output}, value ${i} is ${got[i]} where TensorFlow gives ${values[i]}, and ${bounds[output]!(i)} is allowed`,
          );
      }
    }
  }
}

const declaredInput = ({ shape, values }: Case['inputs'][number]): GraphInput => ({
  name: 'x',
  dtype: values instanceof Int32Array ? 'int32' : 'float32',
  shape,
});

function onTensorFlow(
  inputs: Case['inputs'],
  values: readonly (Float32Array | Int32Array)[],
  build: Case['build'],
): Float32Array[] {
  const results: Float32Array[] = [];
  tf.tidy(() => {
    const tensors = inputs.map(({ shape }, i) =>
      tf.tensor(values[i]!, [...shape], values[i] instanceof Int32Array ? 'int32' : 'float32'),
    );
    for (const tensor of build(tensors)) results.push(tensor.dataSync() as Float32Array);
  });
  return results;
}
