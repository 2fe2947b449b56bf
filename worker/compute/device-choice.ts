// What a worker computes on. Decides it before TensorFlow is loaded, from the worker's setting, the GPUs that
// the machine lists, those that CUDA_VISIBLE_DEVICES leaves, and the library that a person chose. On a
// machine with a GPU nobody gets a CPU worker without asking for it.

import type { WorkerConfig } from '../../core/config.ts';
import { type Gpu, hidesAll } from '../../core/system/gpus.ts';

export interface DeviceChoice {
  /** Whether a GPU may be used; its kernels are then set to be deterministic. */
  readonly gpu: boolean;
  /** Why a worker without a GPU has to end; undefined where it may compute on the CPU. */
  readonly required: string | undefined;
  /** Variables to be set before the library is loaded. */
  readonly environment: Readonly<Record<string, string>>;
}

export function chooseDevice(parts: {
  readonly wanted: WorkerConfig['device'];
  readonly gpus: readonly Gpu[];
  /** CUDA_VISIBLE_DEVICES; undefined where it is not set. */
  readonly visible: string | undefined;
  /** Whether a driver's device file is there, even where no nvidia-smi lists its GPUs. */
  readonly driver: boolean;
  /** Whether set-up has fetched a plugin of PJRT for GPUs, which it does where it finds one of any vendor. */
  readonly plugin: boolean;
  /**
   * Whether POCKETFLEET_TENSORFLOW=cpu is set: the person who set this machine up chose the CPU's library.
   */
  readonly cpuLibraryChosen: boolean;
  readonly memoryShare: number;
}): DeviceChoice {
  const { wanted, gpus, visible, memoryShare } = parts;
  const onCpu = { gpu: false, required: undefined };
  if (wanted === 'cpu') return { ...onCpu, environment: { CUDA_VISIBLE_DEVICES: '-1' } };
  const environment: Record<string, string> =
    memoryShare > 0 ? { POCKETFLEET_GPU_MEMORY_SHARE: String(memoryShare) } : {};
  if (wanted === 'gpu') return { gpu: true, required: '`device: gpu` asks for one', environment };
  if (hidesAll(visible) || parts.cpuLibraryChosen) return { ...onCpu, environment: {} };
  if (gpus.length > 0) {
    const names = gpus.map(({ name }) => name).join(', ');
    return { gpu: true, required: `nvidia-smi lists ${names}`, environment };
  }
  return parts.driver || parts.plugin ? { ...onCpu, gpu: true, environment } : { ...onCpu, environment: {} };
}
