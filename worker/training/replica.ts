// The replica of a run: weights, momentum and running statistics in memory that the compute thread shares, and the number of
// committed steps they belong to. Decides how a replica begins; training it is train.ts'.

import type { State } from '../../core/allreduce/exchange.ts';
import { digest64 } from '../../core/digest.ts';
import { initialRunning, initialWeights } from '../../core/nn/init.ts';
import type { Layout } from '../../core/nn/layout.ts';
import { sharedFloats } from '../../core/shared-memory.ts';

export interface Replica {
  /** Committed steps. */
  step: number;
  /** digest64 of the weights, kept beside them because the optimiser's thread computes it anyway. */
  digest: string;
  /** [P], backbone before head. */
  readonly weights: Float32Array;
  /** [P]; with `sync: outer` the outer optimiser's. */
  readonly momentum: Float32Array;
  /** [S] */
  readonly running: Float32Array;
}

/** A replica as the seed makes it, before the first step. */
export function initialReplica(layout: Layout, seed: number): Replica {
  const weights = sharedFloats(layout.parameterCount);
  weights.set(initialWeights(layout, seed));
  return replicaWith(layout, weights);
}

/** Before the first step, from weights in shared memory, which become the replica's. */
export function replicaWith(layout: Layout, weights: Float32Array): Replica {
  const running = sharedFloats(layout.runningCount);
  running.set(initialRunning(layout));
  const momentum = sharedFloats(layout.parameterCount);
  return { step: 0, digest: digest64(weights), weights, momentum, running };
}

/** A replica with another's state, in shared memory of its own. */
export function replicaFrom(step: number, from: State): Replica {
  const shared = (values: Float32Array) => {
    const copy = sharedFloats(values.length);
    copy.set(values);
    return copy;
  };
  return {
    step,
    digest: digest64(from.weights),
    weights: shared(from.weights),
    momentum: shared(from.momentum),
    running: shared(from.running),
  };
}
