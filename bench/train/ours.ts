// Our way as a process of the benchmark: the worker's own compute thread, asked as worker/training/train.ts
// asks it. A step is the compiled graph of one shard and the optimiser's update with the digest of the new
// weights, from and to shared memory.
//
// Arguments: folder of the work, folder for compiled graphs.

import { createHash } from 'node:crypto';
import { sharedFloats } from '../../core/shared-memory.ts';
import { optimizerSchema } from '../../core/spec/training.ts';
import { createCompute } from '../../worker/compute/client.ts';
import type { GraphSpec } from '../../worker/compute/messages.ts';
import { serve } from './serve.ts';
import { LEARNING_RATE, LOSS, OPTIMIZER, readWork } from './work.ts';

const [folder = '', cacheDir = ''] = process.argv.slice(2);

await serve(async () => {
  const { work, network, layout, images, labels, ...first } = readWork(folder);
  const compute = createCompute({ cacheDir });
  const weights = shared(first.weights);
  const momentum = sharedFloats(layout.parameterCount);
  const running = shared(first.running);
  const { batch, classes } = work;
  const optimizer = optimizerSchema.parse(OPTIMIZER);
  const common = { network: work.network, batch };
  const graph: GraphSpec =
    work.kind === 'train'
      ? {
          kind: 'train',
          ...common,
          classes,
          loss: { kind: 'arcface', ...LOSS },
          distils: false,
        }
      : { kind: 'embed', ...common };
  const result = sharedFloats(work.kind === 'train' ? layout.vectorCount : batch * network.embedding);
  const inputs = work.kind === 'train' ? [weights, images, labels] : [weights, running, images];
  const step = async () => {
    await compute.runGraph(graph, inputs, result);
    if (work.kind === 'embed') return;
    const state = { weights, momentum, running, mean: result };
    await compute.applyStep({
      ...common,
      ...state,
      optimizer,
      classes,
      learningRate: LEARNING_RATE,
      step: 0,
    });
  };
  // Loads TensorFlow, as a worker does before it has a run. The first pass records the graph or takes the
  // stored one.
  await compute.proveDevice();
  return {
    batch,
    step,
    check: async () => {
      await compute.runGraph(graph, inputs, result);
      // The last loss is the distillation term, the middle one the margin loss: the same as the total without
      // a teacher.
      return new Float32Array(work.kind === 'train' ? result.subarray(0, -2) : result);
    },
    digest: async (steps) => {
      weights.set(first.weights);
      momentum.fill(0);
      running.set(first.running);
      for (let i = 0; i < steps; i++) await step();
      const hash = createHash('sha256');
      for (const values of [weights, momentum, running]) hash.update(new Uint8Array(values.buffer));
      return hash.digest('hex');
    },
    close: () => compute.close(),
  };
});

function shared(values: Float32Array): Float32Array {
  const copy = sharedFloats(values.length);
  copy.set(values);
  return copy;
}
