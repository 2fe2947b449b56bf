// The proof of the device: a kernel with a known result is run, the library names where it ran, and CUDA
// names which GPU that is. To ask the library what it was built for would not show that kernels run there.

import { deviceFacts } from '../../core/tensor/device-facts.ts';
import { addonFacts, deviceInfo } from '../../core/tensor/tf.ts';
import type { EngineFacts } from './engine.ts';
import type { DeviceProof } from './messages.ts';

/** `engine` is the thread's; TensorFlow's own device is proved beside it, because it records every graph. */
export function proveDevice(engine: EngineFacts): DeviceProof {
  const found = deviceInfo();
  // A worker sees one GPU (CUDA_VISIBLE_DEVICES); of several the first is the one that sessions run on.
  const isGpu = engine.name === 'pjrt' ? engine.platform === 'cuda' : found.kind === 'gpu';
  const gpu = isGpu ? deviceFacts().devices[0] : undefined;
  return {
    engine,
    kind: isGpu ? 'cuda' : 'cpu',
    name: gpu?.name ?? found.name,
    tensorflowVersion: found.tensorflow,
    graphs: found.graphs,
    kernels: found.kernels,
    ranOn: engine.name === 'pjrt' ? `${engine.plugin}: ${engine.deviceKind}` : found.ranOn,
    variant: addonFacts().variant,
    gpu,
  };
}
