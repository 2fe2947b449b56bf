// Every operation of the graphs that a worker compiles, recorded as for a GPU, against the table of TensorFlow's
// kernels for GPUs.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { headGradients, headStatistics } from '../../../../core/head/step.ts';
import { buildNetwork } from '../../../../core/nn/build.ts';
import { layoutOf } from '../../../../core/nn/layout.ts';
import {
  backboneFunction,
  embeddingFunction,
  type TensorFunction,
  trainingFunction,
} from '../../../../core/nn/step-function.ts';
import { networkSchema } from '../../../../core/spec/network.ts';
import { hasGpuKernel } from '../../../../core/tensor/graph/gpu-kernels.ts';
import { record } from '../../../../core/tensor/recording/record.ts';

const network = buildNetwork(
  networkSchema.parse({ kind: 'pocketnet', channels: 2, layers: 4, embedding: 8, genotype: 'casia' }),
);
const classes = 4;
const batch = 2;
const layout = layoutOf(network, { classes });
const loss = { kind: 'arcface', scale: 64, margin: 0.5 } as const;

const GRAPHS: Readonly<Record<string, TensorFunction>> = {
  train: trainingFunction({ network, layout, loss, batch, distils: false }),
  student: trainingFunction({ network, layout, loss, batch, distils: true }),
  embed: embeddingFunction({ network, layout: layoutOf(network), batch }),
  backbone: backboneFunction({ network, layout: layoutOf(network), batch }),
  'head, first': headStatistics({ batch, shards: 2, embedding: 8, classes, loss }),
  'head, second': headGradients({ batch, shards: 2, embedding: 8, classes, loss }),
};

test('a GPU has a kernel for every operation of a step, of a pass and of a step in two parts', () => {
  for (const [name, graph] of Object.entries(GRAPHS)) {
    const ops = new Set<string>();
    record({ ...graph, flavour: 'gpu', check: (op) => ops.add(op) });
    assert.ok(ops.size > 10, `${name} is recorded`);
    assert.deepEqual(
      [...ops].filter((op) => !hasGpuKernel(op)),
      [],
      name,
    );
  }
  assert.ok(!hasGpuKernel('FleetSample'), 'operations of our own are for processors');
});
