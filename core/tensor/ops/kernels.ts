// Runs single TensorFlow operations with typed attributes, and registers functions of such operations with
// tfjs as kernels with gradients, so that tf.grads differentiates through them.

import { nativeBackend, type OpAttribute, type Tensor, type TensorInfo, tf } from '../tf.ts';

/** TensorFlow's DataType numbers (types.proto) that this project meets. */
export const DT = { float32: 1, int32: 3, uint8: 4, bool: 10 } as const;

export type Attributes = Readonly<Record<string, unknown>>;
export type Inputs = Readonly<Record<string, Tensor>>;

/**
 * Attributes with explicit types: from a JavaScript number alone the addon cannot tell an int from a float.
 */
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

/** An operation on float32 whose only attribute is the type, such as Relu, AddV2 or ReluGrad. */
export const elementwise = (name: string, ...inputs: readonly Tensor[]): Tensor =>
  executeOne(name, [FLOAT()], inputs);

/**
 * Sum of tensors of one shape, from the first to the last; a copy of a single one. By additions of two, because AddN
 * begins with whichever input's memory it may take for the result: with three inputs and more its bits depend on which
 * operation happened to run before (TensorFlow, tensorflow/core/kernels/aggregate_ops.cc).
 */
export function addAll(tensors: readonly Tensor[]): Tensor {
  const [first, ...others] = tensors;
  if (others.length === 0) return tf.clone(first!);
  return others.reduce((sum, tensor) => tf.add(sum, tensor), first!);
}

/** Sums over all axes but the last. BiasAddGrad is the library's fastest reduction of that form. */
export const columnSums = (x: Tensor): Tensor =>
  executeOne('BiasAddGrad', [FLOAT(), attr.text('data_format', 'NHWC')], [x]);

/**
 * Calls `use` with an int32 vector, for operations that take a shape or axes as a tensor, and frees it
 * afterwards.
 */
export function withIntegers<R>(values: readonly number[], use: (tensor: Tensor) => R): R {
  const tensor = tf.tensor1d([...values], 'int32');
  try {
    return use(tensor);
  } finally {
    tensor.dispose();
  }
}

/** A differentiable kernel of native operations. */
export interface NativeKernel {
  /** tfjs' name of the kernel, not TensorFlow's of an operation. */
  readonly name: string;
  readonly forward: (inputs: Inputs, attributes: Attributes) => Tensor[];
  /**
   * Names of the inputs that the gradient reads; 'all' for a kernel whose inputs are a list, named '0', '1'
   * and so on.
   */
  readonly saveInputs: readonly string[] | 'all';
  /** By position, whether the gradient reads the output; missing positions are not read. */
  readonly saveOutputs?: readonly boolean[];
  /**
   * Gradients by input name. `saved` holds the saved inputs in the order of `saveInputs`, then the saved
   * outputs. All gradients are computed at once: tfjs calls the function of each input in a tidy of its own,
   * which would free what the others share.
   */
  readonly gradient: (dys: Tensor[], saved: Tensor[], attributes: Attributes) => Record<string, Tensor>;
}

/** Registers a kernel and its gradient with tfjs; called once for each kernel, when its module loads. */
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

/** Runs a registered kernel through tfjs, so that its tape records it and gradients flow through it. */
export function runKernel(
  name: string,
  inputs: Inputs | readonly Tensor[],
  attributes: Record<string, unknown> = {},
): Tensor[] {
  // tfjs saves all inputs only of a kernel that is given a list, which its types do not express.
  const given = (Array.isArray(inputs) ? [...inputs] : { ...inputs }) as Parameters<RunKernel>[1];
  const result = tf.engine().runKernel(name, given, attributes as Parameters<RunKernel>[2]);
  return (Array.isArray(result) ? result : [result]) as Tensor[];
}
