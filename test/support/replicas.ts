// Replicas and places in a gang for tests of worker/training: the state that a seed gives, and a member
// without a data plane.

import { createDeferred } from '../../core/deferred.ts';
import { createLogger } from '../../core/log.ts';
import { initialRunning, initialWeights } from '../../core/nn/init.ts';
import type { Layout } from '../../core/nn/layout.ts';
import { sharedFloats } from '../../core/shared-memory.ts';
import type { StateVectors } from '../../core/state-vectors.ts';
import type { GangPlace } from '../../worker/training/procedure.ts';
import { type Replica, replicaOf, type SgdVectors, sgdState } from '../../worker/training/replica.ts';

/** The vectors with which a seed begins, in shared memory. */
export function initialVectors(layout: Layout, seed: number): SgdVectors {
  const weights = sharedFloats(layout.parameterCount);
  weights.set(initialWeights(layout, seed));
  const running = sharedFloats(layout.runningCount);
  running.set(initialRunning(layout));
  return { weights, momentum: sharedFloats(layout.parameterCount), running };
}

export const initialState = (layout: Layout, seed: number): StateVectors =>
  sgdState(initialVectors(layout, seed));

/** A replica before the first step. */
export const initialReplica = (layout: Layout, seed: number): Replica =>
  replicaOf({ step: 0, vectors: initialState(layout, seed) });

/** The place of the first member of a gang, for a procedure that opens no exchanges of its own. */
export const firstPlace = (signal: AbortSignal): GangPlace => ({
  runId: 'run-1',
  generation: 1,
  rank: 0,
  members: [],
  plane: {
    createExchange: () => {
      throw new Error('this procedure opens no exchange');
    },
    releaseRun: () => undefined,
    renewRights: () => undefined,
    died: createDeferred<never>().promise,
    close: async () => undefined,
  },
  onSuspects: () => undefined,
  log: createLogger({ program: 'test', level: 'silent' }),
  signal,
});
