// The compute thread with too little memory, for real: TensorFlow's allocator has a limit that a step does not fit
// into, and one that computes activations again does. The library tries for ten seconds before it gives up, several
// times, hence a script of its own.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { setNativeEnvironment } from '../../core/config.ts';
import { IMAGE_BYTES } from '../../core/data/images/pixels.ts';
import { FleetError } from '../../core/errors.ts';
import { buildNetwork } from '../../core/nn/build.ts';
import { initialWeights } from '../../core/nn/init.ts';
import { layoutOf } from '../../core/nn/layout.ts';
import { networkSchema } from '../../core/spec/network.ts';
import { createCompute } from '../../worker/compute/client.ts';
import { nativeEnvironment } from '../../worker/compute/device.ts';
import type { GraphSpec } from '../../worker/compute/messages.ts';
import { factsOf, failureOf } from '../../worker/run/failure.ts';

/** MiB. The step needs more than 160, with activations computed again less than 128. */
const LIMIT = '144';
const BATCH = 24;

setNativeEnvironment({ ...nativeEnvironment(1), TF_CPU_BFC_MEM_LIMIT_IN_MB: LIMIT });
const compute = createCompute({ cacheDir: '' });
after(() => compute.close());

test('a step for which there is no memory says how much it wanted, and fits with activations computed again', async (t) => {
  const { kind, kernels } = await compute.proveDevice();
  if (kind !== 'cpu' || kernels === null) {
    t.skip('the limit is that of the CPU with our own kernels');
    return;
  }
  const network = networkSchema.parse({
    ...{ kind: 'pocketnet', channels: 8, layers: 5, embedding: 16, genotype: 'casia' },
  });
  const layout = layoutOf(buildNetwork(network), { classes: 10 });
  const graph: GraphSpec = {
    ...{ kind: 'train', network, classes: 10, batch: BATCH, distils: false },
    loss: { kind: 'arcface', scale: 64, margin: 0.5 },
  };
  const inputs = [initialWeights(layout, 1), new Uint8Array(BATCH * IMAGE_BYTES), new Int32Array(BATCH)];
  const failure = await compute.runGraph(graph, inputs).then(
    () => assert.fail('the step had enough memory'),
    (caught: unknown) => caught,
  );
  assert.ok(failure instanceof FleetError);
  assert.deepEqual(failureOf(failure), { cause: 'out_of_memory', ofPlace: false });
  assert.ok(factsOf(failure).bytesWanted! > 0);
  assert.match(failure.message, /^there is no memory for [\d.]+ \w+ at once: /);
  const [vector] = await compute.runGraph({ ...graph, recompute: true }, inputs);
  assert.equal(vector!.length, layout.vectorCount);
});
