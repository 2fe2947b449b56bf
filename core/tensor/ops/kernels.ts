// Runs single native TensorFlow operations with typed attributes and ties them into tfjs as kernels with gradients, so
// that tf.grads differentiates through them. Which operations exist and what they mean is ops.ts' and its neighbours'.

import { nativeBackend, type OpAttribute, type Tensor, type TensorInfo, tf } from '../tf.ts';

/** TensorFlow's DataType numbers (types.proto) that this project meets. */
export const DT = { float32: 1, int32: 3, uint8: 4, bool: 10 } as const;

export type Attributes = Readonly<Record<string, unknown>>;
export type Inputs = Readonly<Record<string, Tensor>>;

/** Explicitly typed attributes; the addon does not guess them from a value. */
export const attr = {
  type: (name: string, value: number): OpAttribute => ({ name, type: binding().TF_ATTR_TYPE, value }),
  int: (name: string, value: number | readonly number[]): OpAttribute => ({
    name,
    type: binding().TF_ATTR_INT,
    value,
  }),
  float: (name: string, value: number): OpAttribute => ({ name, type: binding().TF_ATTR_FLOAT, value }),
  bool: (name: string, value: boolean): OpAttribute => ({ name, type: binding().TF_ATTR_BOOL, value }),
  text: (name: string, value: string): OpAttribute => ({ name, type: binding().TF_ATTR_STRING, value }),
};

const binding = () => nativeBackend().binding;

/** Runs one native operation. */
export function execute(
  name: string,
  attributes: readonly OpAttribute[],
  inputs: readonly TensorInfo[],
  outputs = 1,
): Tensor[] {
  return nativeBackend().executeMultipleOutputs(name, attributes, inputs, outputs);
}

/** Runs one native operation with a single output. */
export function executeOne(
  name: string,
  attributes: readonly OpAttribute[],
  inputs: readonly TensorInfo[],
): Tensor {
  return execute(name, attributes, inputs)[0]!;
}

const FLOAT = (): OpAttribute => attr.type('T', DT.float32);

/** One of the operations on float32 that have no attribute but the type, such as Relu, AddV2 or ReluGrad. */
export const elementwise = (name: string, ...inputs: readonly Tensor[]): Tensor =>
  executeOne(name, [FLOAT()], inputs);

/** Sum of equal shapes in one pass over all of them. */
export function addAll(tensors: readonly Tensor[]): Tensor {
  const [first, second] = tensors;
  if (tensors.length === 1) return tf.clone(first!);
  if (tensors.length === 2) return elementwise('AddV2', first!, second!);
  return executeOne('AddN', [FLOAT(), attr.int('N', tensors.length)], tensors);
}

/** Sums over all but the last dimension; BiasAddGrad is the fastest such reduction there is. */
export const columnSums = (x: Tensor): Tensor =>
  executeOne('BiasAddGrad', [FLOAT(), attr.text('data_format', 'NHWC')], [x]);

/** An int32 vector for the operations that take a shape or axes as a tensor; freed after `use`. */
export function withIntegers<R>(values: readonly number[], use: (tensor: Tensor) => R): R {
  const tensor = tf.tensor1d([...values], 'int32');
  try {
    return use(tensor);
  } finally {
    tensor.dispose();
  }
}

/** One differentiable native kernel. */
export interface NativeKernel {
  readonly name: string;
  readonly forward: (inputs: Inputs, attributes: Attributes) => Tensor[];
  /** Inputs the gradient reads, by name; 'all' for a kernel whose inputs are a list, which it gets as '0', '1' and on. */
  readonly saveInputs: readonly string[] | 'all';
  /** Outputs the gradient reads, by position. */
  readonly saveOutputs?: readonly boolean[];
  /**
   * Gradients by input name. `saved` holds the saved inputs in the order of `saveInputs`, then the saved outputs. It is
   * computed at once and not lazily: tfjs calls each input's thunk in a tidy of its own, which would free what the others share.
   */
  readonly gradient: (dys: Tensor[], saved: Tensor[], attributes: Attributes) => Record<string, Tensor>;
}

/** Registers a kernel and its gradient with tfjs; call it once, when the module loads. */
export function defineKernel(kernel: NativeKernel): void {
  tf.registerKernel({
    kernelName: kernel.name,
    backendName: 'tensorflow',
    kernelFunc: ({ inputs, attrs }) => kernel.forward(inputs as Inputs, attrs as Attributes),
  });
  tf.registerGradient({
    kernelName: kernel.name,
    ...(kernel.saveInputs === 'all' ? { saveAllInputs: true } : { inputsToSave: [...kernel.saveInputs] }),
    outputsToSave: [...(kernel.saveOutputs ?? [])],
    gradFunc: (dy, saved, attrs) => {
      const gradients = kernel.gradient(Array.isArray(dy) ? dy : [dy], saved, attrs as Attributes);
      return Object.fromEntries(Object.entries(gradients).map(([name, tensor]) => [name, () => tensor]));
    },
  });
}

type RunKernel = ReturnType<typeof tf.engine>['runKernel'];

/** Runs a registered kernel through tfjs, so that the tape sees it. */
export function runKernel(
  name: string,
  inputs: Inputs | readonly Tensor[],
  attributes: Record<string, unknown> = {},
): Tensor[] {
  // tfjs saves all inputs only of a kernel that is given a list, which its types do not say.
  const given = (Array.isArray(inputs) ? [...inputs] : { ...inputs }) as Parameters<RunKernel>[1];
  const result = tf.engine().runKernel(name, given, attributes as Parameters<RunKernel>[2]);
  return (Array.isArray(result) ? result : [result]) as Tensor[];
}
