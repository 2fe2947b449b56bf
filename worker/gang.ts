// Joining a generation: the exchange with the other members and the agreement on the step from which all go on. Decides
// where a replica comes from (a peer before storage, storage before the seed); the protocol is core/allreduce's.

import { createExchange, type Exchange } from '../core/allreduce/exchange.ts';
import { WITHOUT_STATE } from '../core/allreduce/sync.ts';
import type { Assign } from '../proto/gen/pocketfleet/v1/worker.ts';
import type { Services } from './services.ts';
import { loadReplica, type Session } from './session.ts';
import { replicaFrom } from './state.ts';

export function joinGang(options: {
  readonly services: Services;
  readonly session: Session;
  readonly assign: Assign;
  readonly rank: number;
  readonly connection: Parameters<typeof createExchange>[0]['connection'];
  readonly signal: AbortSignal;
}): Exchange {
  const { services, session, assign, rank } = options;
  return createExchange({
    connection: options.connection,
    runId: assign.runId,
    generation: assign.generation,
    rank,
    members: assign.members,
    shards: session.schedule.shards,
    elements: session.layout.vectorCount,
    provideState: () => {
      if (!session.replica) throw new Error('assertion: a peer asked for a state before there was one');
      return session.replica;
    },
    log: services.log,
    clock: services.clock,
    signal: options.signal,
  });
}

/** After this the session has the replica of the step at which the whole gang goes on. */
export async function agreeOnState(options: {
  readonly services: Services;
  readonly session: Session;
  readonly exchange: Exchange;
  readonly signal: AbortSignal;
}): Promise<void> {
  const { services, session, exchange, signal } = options;
  for (;;) {
    const { replica } = session;
    const { step, state } = await exchange.sync(
      replica === undefined ? WITHOUT_STATE : { step: replica.step, digest: replica.digest },
    );
    signal.throwIfAborted();
    if (state !== undefined) {
      session.replica = replicaFrom(step, state);
      services.log.info({ run: session.runId, step }, `took the state of step ${step} from a peer`);
      return;
    }
    if (step >= 0) return;
    session.replica ??= await loadReplica(services, session, signal);
  }
}
