// The proof of the device: a kernel with a known result is run, the library names where it ran, and CUDA
// names which GPU that is. To ask the library what it was built for would not show that kernels run there. With PJRT
// the engine has run its kernel when it was opened, and the device is the plugin's, whoever made it.

import { deviceFacts } from '../../core/tensor/device-facts.ts';
import { addonFacts, deviceInfo } from '../../core/tensor/tf.ts';
import type { EngineFacts } from './engine.ts';
import type { DeviceProof } from './messages.ts';
import type { EngineDevice } from './plugin-device.ts';

/** `engine` is the thread's; TensorFlow's own device is proved beside it, because it records every graph. */
export function proveDevice(engine: EngineFacts): DeviceProof {
  const found = deviceInfo();
  // TensorFlow itself runs on GPUs of NVIDIA alone.
  const kind = engine.name === 'pjrt' ? engine.platform : found.kind === 'gpu' ? 'cuda' : 'cpu';
  // A worker of TensorFlow sees one GPU (CUDA_VISIBLE_DEVICES); of several the first is the one that sessions run on. A
  // plugin counts in CUDA's order too.
  const gpus = kind === 'cuda' ? deviceFacts().devices : [];
  const gpu = gpus[0];
  const isOther = engine.name === 'pjrt' && kind !== 'cpu';
  return {
    engine,
    kind,
    name: gpu?.name ?? (isOther ? engine.deviceKind : found.name),
    tensorflowVersion: found.tensorflow,
    graphs: found.graphs,
    kernels: found.kernels,
    ranOn: engine.name === 'pjrt' ? `${engine.plugin}: ${engine.deviceKind}` : found.ranOn,
    variant: addonFacts().variant,
    gpu,
    devices: devicesOf(engine).map(({ number, memoryBytes }) => ({
      id: gpus[number]?.uuid ?? `${kind}:${number}`,
      memoryBytes: kind === 'cpu' ? undefined : (gpus[number]?.memoryBytes ?? memoryBytes),
    })),
  };
}

const devicesOf = (engine: EngineFacts): readonly EngineDevice[] =>
  engine.name === 'pjrt' ? engine.devices : [{ number: 0, memoryBytes: undefined }];
