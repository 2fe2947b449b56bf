// The graph that computes a shard's vector of one step when the classifier head is part of the replica.

import type { RunSpec } from '../../core/spec/run.ts';
import type { GraphSpec } from '../compute/messages.ts';

export function trainingGraph(spec: RunSpec, classes: number): GraphSpec {
  return {
    kind: 'train',
    network: spec.network,
    classes,
    loss: spec.training.loss,
    batch: spec.training.batch / spec.training.shards,
    distils: spec.distillation !== undefined,
    ...(spec.training.recompute ? { recompute: true } : {}),
  };
}
