// The inner replicas of a run with `sync: outer`: one for each shard that this worker trains in the open
// round. Decides when one is begun anew. A round is known by the step and the weights that it begins with, so
// a replica that was left in the middle of a round is taken up again after a change of the gang, and one of a
// round that is over is not.

import { type Layout, LOSS_COUNT } from '../../core/nn/layout.ts';
import { letGoOfShared, sharedFloats } from '../../core/shared-memory.ts';
import type { KeptState } from '../compute/client.ts';
import { type Replica, sgdVectors } from './replica.ts';

/** The replica of one shard within a round; all vectors in shared memory. */
export interface InnerReplica {
  /** Step and weights with which its round began, as `step/digest`; empty before its first round. */
  begunFrom: string;
  /** Steps taken in the round. */
  steps: number;
  /** [P] */
  readonly weights: Float32Array;
  /** [P], the inner optimiser's; zero at the beginning of each round. */
  readonly momentum: Float32Array;
  /** [S] */
  readonly running: Float32Array;
  /** [3], sums of the losses over the steps taken, in double precision. */
  readonly losses: Float64Array;
  /** The vectors on the device, where they are ahead of those in memory. */
  kept: KeptState | undefined;
}

/** Frees what the device has of it. */
export function freeKept(inner: InnerReplica): void {
  inner.kept?.free();
  inner.kept = undefined;
}

/** Inner replicas by shard. */
export interface InnerReplicas {
  /** The shard's replica in the round that begins with `replica`, as far as it was trained here. */
  of(shard: number, replica: Replica): InnerReplica;
  /** A shard begins its round anew: what the device has of its replica is not to be relied on. */
  forget(shard: number): void;
  /** Frees the replicas of all other shards. */
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
    kept: undefined,
  });
  return {
    of(shard, replica) {
      const inner = kept.get(shard) ?? fresh();
      kept.set(shard, inner);
      const beginning = `${replica.step}/${replica.digest}`;
      if (inner.begunFrom === beginning) return inner;
      inner.begunFrom = beginning;
      inner.steps = 0;
      const { weights, running } = sgdVectors(replica);
      inner.weights.set(weights);
      inner.running.set(running);
      inner.momentum.fill(0);
      inner.losses.fill(0);
      freeKept(inner);
      return inner;
    },
    forget(shard) {
      const inner = kept.get(shard);
      if (inner === undefined) return;
      inner.begunFrom = '';
      freeKept(inner);
    },
    keep(shards) {
      for (const [shard, inner] of kept)
        if (!shards.includes(shard)) {
          const { weights, momentum, running } = inner;
          kept.delete(shard);
          freeKept(inner);
          letGoOfShared(weights.byteLength + momentum.byteLength + running.byteLength);
        }
    },
  };
}
