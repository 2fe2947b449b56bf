// What CUDA reports of the GPUs that this process sees, through a function that set-up adds to TensorFlow's
// addon. TensorFlow itself reports no model, driver or library version.

import { FleetError } from '../errors.ts';
import { nativeBackend } from './tf.ts';

/** One CUDA device, in CUDA's own order; CUDA_VISIBLE_DEVICES hides the others. */
export interface CudaDevice {
  /** E.g. `NVIDIA H200`. */
  readonly name: string;
  /** E.g. `9.0`. */
  readonly computeCapability: string;
  readonly multiprocessors: number;
  /** All of the device's memory, used or not. */
  readonly memoryBytes: number;
  /** As nvidia-smi writes it: `GPU-…`, or `MIG-…` for a part of one. */
  readonly uuid: string;
  /** Version of the kernel driver, e.g. `570.86.15`; absent where libnvidia-ml.so.1 does not report it. */
  readonly driver?: string;
  /** The newest CUDA version that the driver's libcuda.so.1 has, e.g. `12.8`. */
  readonly cuda: string;
  /** Version of the loaded libcudnn.so.9, e.g. `9.28.0`; absent where the loader finds none. */
  readonly cudnn?: string;
  /** Version of the loaded libcublas.so.12, e.g. `12.9.3`; absent where the loader finds none. */
  readonly cublas?: string;
}

/** The devices, and why some or all are missing. */
export interface DeviceFacts {
  readonly devices: readonly CudaDevice[];
  /** The libraries' own words for what is missing: why there is no device, or no driver version. */
  readonly reason?: string;
}

/**
 * The devices that CUDA shows to this process; none, and the reason, where there is no driver or it hides
 * all.
 */
export function deviceFacts(): DeviceFacts {
  const { deviceFacts: ask } = nativeBackend().binding;
  if (ask === undefined)
    return { devices: [], reason: "TensorFlow's addon was not built by set-up; run `npm run setup`" };
  return checked(ask());
}

/** The addon and this file are built from one tree, so another form is a defect of the build. */
function checked(answer: unknown): DeviceFacts {
  if (typeof answer === 'object' && answer !== null && 'devices' in answer && Array.isArray(answer.devices))
    return answer as DeviceFacts;
  throw new FleetError('internal', "TensorFlow's addon gave no list of devices; run `npm run setup`");
}
