// What procedures have in common whose replica is the whole state: nothing is divided among the members, so a
// change of the gang moves nothing, a checkpoint is the replica as it is, and the run's own exchange is the
// only one.

import type { GangPlace, Membership, Procedure } from './procedure.ts';
import { replicaOf } from './replica.ts';

/** The part of a procedure that follows from it. */
export const wholeReplica = {
  exchangeNames: [],
  adopt: replicaOf,
} satisfies Partial<Procedure>;

/** The part of a membership that follows from it. */
export const wholeReplicaMember = ({ rank }: GangPlace) =>
  ({
    compareHoldings: async () => 'keep',
    settleHoldings: async () => undefined,
    gatherState: async ({ vectors }) => (rank === 0 ? vectors : undefined),
    exchangeStats: () => [],
    leave: async () => undefined,
  }) satisfies Partial<Membership>;
