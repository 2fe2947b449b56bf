// Device proof: core/tensor runs a kernel with a known result and reads where it ran; here the words of the protocol are
// put on it. Asking the library what it was built for would not show that kernels really run there.

import { deviceInfo } from '../../core/tensor/tf.ts';
import type { DeviceProof } from './messages.ts';

export function proveDevice(): DeviceProof {
  const found = deviceInfo();
  return {
    kind: found.kind === 'gpu' ? 'cuda' : 'cpu',
    name: found.name,
    tensorflowVersion: found.tensorflow,
    graphs: found.graphs,
    kernels: found.kernels,
  };
}
