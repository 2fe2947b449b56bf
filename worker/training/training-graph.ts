// The graph that computes a shard's vector of one step when the classifier head is part of the replica.

import { adapterWidth } from '../../core/spec/distillation.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import type { GraphSpec } from '../compute/messages.ts';

export function trainingGraph(spec: RunSpec, classes: number): GraphSpec {
  const adapter = adapterWidth(spec.distillation);
  return {
    kind: 'train',
    network: spec.network,
    classes,
    loss: spec.training.loss,
    batch: spec.training.batch / spec.training.shards,
    distils: spec.distillation !== undefined,
    ...(adapter === undefined ? {} : { adapter }),
    ...(spec.training.recompute ? { recompute: true } : {}),
    ...(spec.training.precision === undefined ? {} : { precision: spec.training.precision }),
  };
}
