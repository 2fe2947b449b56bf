// The one door to TensorFlow: loads the package, reports which backend, library and kernels really run, and
// proves the device by running a kernel on it.

import { createRequire } from 'node:module';
import { arch, cpus, platform } from 'node:os';
import type * as Tfjs from '@tensorflow/tfjs-node-gpu';
import { ownKernelsWanted } from '../config.ts';
import { FleetError, toFleetError } from '../errors.ts';
import { type AddonOrigin, readAddonOrigin } from '../system/addon-origin.ts';
import { restoreUtil } from './node-util.ts';

export type Tensor = Tfjs.Tensor;
export type Scalar = Tfjs.Scalar;
export type Tensor1D = Tfjs.Tensor1D;
export type Tensor2D = Tfjs.Tensor2D;
export type Tensor4D = Tfjs.Tensor4D;
export type TensorInfo = Tfjs.TensorInfo;

/** An attribute of a TensorFlow operation as the native addon takes it. */
export interface OpAttribute {
  readonly name: string;
  /** One of the binding's TF_ATTR_ numbers. */
  readonly type: number;
  readonly value: boolean | number | string | readonly number[];
}

/** The addon's description of a tensor that it holds. */
export interface TensorMetadata {
  readonly id: number;
  readonly shape: number[];
  /** TensorFlow's DataType number. */
  readonly dtype: number;
}

/**
 * The native addon, as far as it is used here. Its functions are not writable, so a recorder replaces the
 * whole object.
 */
export interface Binding {
  createTensor(shape: number[], dtype: number, values: unknown): number;
  deleteTensor(id: number): void;
  tensorDataSync(id: number): Float32Array | Int32Array | Uint8Array;
  executeOp(
    name: string,
    attributes: readonly OpAttribute[],
    inputs: readonly number[],
    outputs: number,
  ): TensorMetadata[];
  loadSavedModel(folder: string, tags: string): number;
  deleteSavedModel(model: number): void;
  runSavedModel(
    model: number,
    inputs: readonly number[],
    inputNames: string,
    outputNames: string,
  ): TensorMetadata[];
  /**
   * Runs a loaded graph: each feed is an array, read where it lies and in the shape beside it, or the number of a
   * tensor. Each result is copied to the array for it, or to a new one where there is null. Only in set-up's addon.
   */
  runGraph?(
    model: number,
    feedNames: string,
    feeds: readonly (Float32Array | Int32Array | Uint8Array | number)[],
    shapes: readonly (readonly number[])[],
    fetchNames: string,
    into: readonly (Float32Array | null)[],
  ): Float32Array[];
  getNumOfTensors(): number;
  getNumOfSavedModels(): number;
  isUsingGpuDevice(): boolean;
  /** Only in set-up's addon; device-facts.ts has the form of the result. */
  deviceFacts?(): unknown;
  /**
   * TensorFlow's name of the device that a tensor lies on, which is the one that computed it. Only in
   * set-up's addon.
   */
  tensorDevice?(id: number): string;
  readonly TF_ATTR_STRING: number;
  readonly TF_ATTR_INT: number;
  readonly TF_ATTR_FLOAT: number;
  readonly TF_ATTR_BOOL: number;
  readonly TF_ATTR_TYPE: number;
  readonly TF_ATTR_SHAPE: number;
  readonly TF_Version: string;
}

/** The tensorflow backend of tfjs, as far as it is used here. */
export interface NativeBackend {
  binding: Binding;
  executeMultipleOutputs(
    name: string,
    attributes: readonly OpAttribute[],
    inputs: readonly TensorInfo[],
    outputs: number,
  ): Tensor[];
  createOutputTensor(metadata: TensorMetadata): Tensor;
  getInputTensorIds(tensors: readonly TensorInfo[]): number[];
}

export const tf: typeof Tfjs = load();

function load(): typeof Tfjs {
  const require = createRequire(import.meta.url);
  try {
    restoreUtil(require('node:util'));
    return require('@tensorflow/tfjs-node-gpu') as typeof Tfjs;
  } catch (cause) {
    throw new FleetError(
      'failedPrecondition',
      `TensorFlow's native library does not load (${toFleetError(cause).message.split('\n')[0]}); run \`npm run setup\``,
      { cause },
    );
  }
}

/** Whether the active backend is native TensorFlow; all others run the composed operations. */
export function isNative(): boolean {
  return tf.getBackend() === 'tensorflow';
}

/** The native backend, or an error where another one is active. */
export function nativeBackend(): NativeBackend {
  if (!isNative())
    throw new FleetError(
      'failedPrecondition',
      `the ${tf.getBackend()} backend is active where compiled graphs need the tensorflow backend`,
    );
  return tf.backend() as unknown as NativeBackend;
}

/** Version of the native library that really runs, not of the npm package. */
export function tensorflowVersion(): string {
  return nativeBackend().binding.TF_Version;
}

/**
 * The device and library that compute here; part of a run's device class, within which results are
 * bit-identical.
 */
export interface DeviceInfo {
  readonly kind: 'cpu' | 'gpu';
  /**
   * The processor's model; for a GPU only the platform, because TensorFlow reports no model (device-facts.ts
   * asks CUDA).
   */
  readonly name: string;
  /** TensorFlow's name of where the product ran, e.g. `/job:localhost/replica:0/task:0/device:GPU:0`. */
  readonly ranOn: string;
  readonly architecture: string;
  readonly backend: string;
  readonly tensorflow: string;
  /**
   * Whether TensorFlow's graph optimiser rewrites compiled graphs, which changes rounding. Only set-up's
   * addon can switch it off.
   */
  readonly graphs: AddonFacts['graphs'];
  /**
   * Digest of our own kernels (native/) and of the compiler that built them; null where the library's kernels
   * compute everything.
   */
  readonly kernels: string | null;
  /** Threads that one operation may use, from TF_NUM_INTRAOP_THREADS; 0 where the library decides. */
  readonly threads: number;
}

/** Describes the device, after a matrix product on it gave the right numbers. */
export function deviceInfo(environment: Readonly<Record<string, string | undefined>> = {}): DeviceInfo {
  const { binding } = nativeBackend();
  const ranOn = proveKernel();
  const gpu = /device:GPU:\d+$/.test(ranOn);
  const { graphs, kernels } = addonFacts();
  const model = cpus()[0]?.model.trim() ?? 'unknown processor';
  return {
    kind: gpu ? 'gpu' : 'cpu',
    name: gpu ? `GPU of ${platform()}` : model,
    ranOn,
    architecture: arch(),
    backend: tf.getBackend(),
    tensorflow: binding.TF_Version,
    graphs,
    kernels,
    threads: Number(environment.TF_NUM_INTRAOP_THREADS ?? 0),
  };
}

/**
 * What the addon does in this process. In a process without a GPU set-up's addon runs our own kernels and
 * leaves graphs as they were recorded. On a GPU, and in an addon that set-up did not build, the library's own
 * settings and kernels are used.
 */
export interface AddonFacts {
  readonly graphs: 'as-recorded' | 'optimised';
  /** Digest of our own kernels; null where they are absent or switched off by configuration. */
  readonly kernels: string | null;
  /** Which libtensorflow set-up installed; null where set-up did not. */
  readonly variant: 'cpu' | 'gpu' | null;
}

/** Read once: it cannot change while the addon is loaded. */
let origin: AddonOrigin | undefined;

/** What the addon of this process does. */
export function addonFacts(): AddonFacts {
  origin ??= readAddonOrigin();
  const { variant, kernels } = origin;
  const own = variant !== null && !(isNative() && nativeBackend().binding.isUsingGpuDevice());
  return {
    variant,
    graphs: own ? 'as-recorded' : 'optimised',
    kernels: own && ownKernelsWanted() ? kernels : null,
  };
}

/** Whether our own operations (native/) exist and compute here: set-up's addon has them, for the CPU. */
export function hasOwnKernels(): boolean {
  return isNative() && addonFacts().kernels !== null;
}

/**
 * Computes [1 2; 3 4] x [5 6; 7 8] = [19 22; 43 50] and returns the device that did it. A listed GPU is no
 * proof that a kernel runs on it: an operation without a kernel for the GPU is computed by the host.
 */
function proveKernel(): string {
  const backend = nativeBackend();
  const { binding } = backend;
  const [numbers, ranOn] = tf.tidy(() => {
    const product = tf.matMul(tf.tensor2d([1, 2, 3, 4], [2, 2]), tf.tensor2d([5, 6, 7, 8], [2, 2]));
    const [id] = backend.getInputTensorIds([product]);
    return [Array.from(product.dataSync()), binding.tensorDevice?.(id!)] as const;
  });
  if (numbers.join() !== '19,22,43,50')
    throw new FleetError(
      'failedPrecondition',
      `a matrix product on the device gave ${numbers.join(', ')} where 19, 22, 43, 50 is right; the device or its driver is broken`,
    );
  // An addon that set-up did not build cannot tell where a tensor lies; what it lists is all that is known.
  return ranOn ?? `device:${binding.isUsingGpuDevice() ? 'GPU' : 'CPU'}:0`;
}
