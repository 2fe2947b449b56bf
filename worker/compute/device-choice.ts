// What a worker is to compute on, decided before TensorFlow is loaded: from its setting, the GPUs that the machine lists, those that
// CUDA_VISIBLE_DEVICES leaves, and whether a person wants the CPU. A machine with a GPU never ends in a CPU worker unasked.

import type { WorkerConfig } from '../../core/config.ts';
import { type Gpu, hidesAll } from '../../core/system/gpus.ts';

export interface DeviceChoice {
  /** A GPU may be used: kernels are set to be deterministic. */
  readonly gpu: boolean;
  /** Why a worker without a GPU has to end; undefined where a CPU will do. */
  readonly required: string | undefined;
  /** Variables that are set before the library is loaded. */
  readonly environment: Readonly<Record<string, string>>;
}

export function chooseDevice(parts: {
  readonly wanted: WorkerConfig['device'];
  readonly gpus: readonly Gpu[];
  /** CUDA_VISIBLE_DEVICES; undefined where it is not set. */
  readonly visible: string | undefined;
  /** A driver's device file is there, also where no nvidia-smi lists its GPUs. */
  readonly driver: boolean;
  /** POCKETFLEET_TENSORFLOW=cpu: the person who set this machine up chose the CPU's library, and means it here too. */
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
  return parts.driver ? { ...onCpu, gpu: true, environment } : { ...onCpu, environment: {} };
}
