// A small exported model. Its numbers mean nothing; no tensor library is loaded for it.

import { exportSafetensors } from '../../core/model/export.ts';
import { buildNetwork } from '../../core/nn/build.ts';
import { layoutOf } from '../../core/nn/layout.ts';
import { networkSchema } from '../../core/spec/network.ts';

/** Its bytes. */
export function smallModel(): Uint8Array {
  const network = buildNetwork(
    networkSchema.parse({ kind: 'pocketnet', channels: 2, layers: 4, embedding: 4 }),
  );
  const layout = layoutOf(network);
  const weights = Float32Array.from({ length: layout.parameterCount }, (_, i) => (i % 17) / 16);
  const running = Float32Array.from({ length: layout.runningCount }, (_, i) => 1 + (i % 5) / 8);
  return exportSafetensors({ network, layout, weights, running });
}
