// The replicas of a run with an outer optimiser, one for each shard that this worker trains: they outlive a generation, so that a
// lost member costs its shards only.

import { type Layout, LOSS_COUNT } from '../../core/nn/layout.ts';
import { letGoOfShared, sharedFloats } from '../../core/shared-memory.ts';
import type { Replica } from './replica.ts';

/** The replica of one shard within a round. */
interface InnerReplica {
  /** Names the state with which its round began. */
  begunFrom: string;
  /** Steps taken since. */
  steps: number;
  readonly weights: Float32Array;
  /** Of the inner optimiser. */
  readonly momentum: Float32Array;
  readonly running: Float32Array;
  /** Sums over the steps taken. */
  readonly losses: Float64Array;
}

/** Kept from one generation to the next, by shard. */
export interface InnerReplicas {
  /** A shard's replica in the round that begins with `replica`: as far as it got here, or at its beginning. */
  of(shard: number, replica: Replica): InnerReplica;
  /** Lets go of all others. */
  keep(shards: readonly number[]): void;
}

export function createInnerReplicas(layout: Layout): InnerReplicas {
  const { parameterCount, runningCount } = layout;
  const kept = new Map<number, InnerReplica>();
  const fresh = (): InnerReplica => ({
    begunFrom: '',
    steps: 0,
    weights: sharedFloats(parameterCount),
    momentum: sharedFloats(parameterCount),
    running: sharedFloats(runningCount),
    losses: new Float64Array(LOSS_COUNT),
  });
  return {
    of(shard, replica) {
      const inner = kept.get(shard) ?? fresh();
      kept.set(shard, inner);
      const beginning = `${replica.step}/${replica.digest}`;
      if (inner.begunFrom === beginning) return inner;
      inner.begunFrom = beginning;
      inner.steps = 0;
      inner.weights.set(replica.weights);
      inner.running.set(replica.running);
      inner.momentum.fill(0);
      inner.losses.fill(0);
      return inner;
    },
    keep(shards) {
      for (const [shard, { weights, momentum, running }] of kept)
        if (!shards.includes(shard)) {
          kept.delete(shard);
          letGoOfShared(weights.byteLength + momentum.byteLength + running.byteLength);
        }
    },
  };
}
