// Joining a generation: the exchange with the other members and the agreement on the step from which all go on. Decides
// where a replica comes from (a peer before storage, storage before the seed); the protocol is core/allreduce's.

import type { Exchange } from '../core/allreduce/exchange.ts';
import type { DataPlane } from '../core/allreduce/plane.ts';
import { WITHOUT_STATE } from '../core/allreduce/sync.ts';
import { beginsStage } from '../core/schedule.ts';
import type { Assign } from '../proto/gen/pocketfleet/v1/worker.ts';
import type { Services } from './services.ts';
import { loadReplica, type Session } from './session.ts';
import { replicaFrom } from './state.ts';

export function joinGang(options: {
  readonly services: Services;
  readonly session: Session;
  readonly assign: Assign;
  readonly rank: number;
  readonly plane: DataPlane;
  readonly signal: AbortSignal;
}): Exchange {
  const { session, assign, rank } = options;
  return options.plane.createExchange({
    runId: assign.runId,
    generation: assign.generation,
    rank,
    members: assign.members,
    ...sumOf(session),
    provideState: () => {
      if (!session.replica) throw new Error('assertion: a peer asked for a state before there was one');
      return session.replica;
    },
    signal: options.signal,
  });
}

/** What is summed: the mean over the shards, a power of two, hence exact. */
export function sumOf(session: Session) {
  const { shards } = session.schedule;
  const { compression } = session.spec.training;
  return { shards, elements: session.layout.vectorCount, compression, factor: 1 / shards };
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
    const { step, state, residualsLost } = await exchange.sync(
      replica === undefined ? WITHOUT_STATE : { step: replica.step, digest: replica.digest },
    );
    signal.throwIfAborted();
    if (residualsLost !== undefined && !beginsStage(session.schedule, step))
      services.log.warn(
        { run: session.runId, step, shards: residualsLost },
        'what int8 compression had left of shards went with a worker that left or died; it begins again at zero, and the result is no longer the one of an undisturbed run',
      );
    if (state !== undefined) {
      session.replica = replicaFrom(step, state);
      services.log.info({ run: session.runId, step }, `took the state of step ${step} from a peer`);
      return;
    }
    if (step >= 0) return;
    session.replica ??= await loadReplica(services, session, signal);
  }
}
