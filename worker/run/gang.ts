// Joining a generation: the run's exchange with the other members and the agreement on the step from which
// all go on. Decides where a replica comes from: from a peer if any has one, else from the newest checkpoint,
// else from the seed.

import type { Exchange, State, Suspect } from '../../core/allreduce/exchange.ts';
import type { DataPlane } from '../../core/allreduce/plane.ts';
import { WITHOUT_STATE } from '../../core/allreduce/sync.ts';
import { beginsStage, roundsBefore, stepsBeforeRound } from '../../core/spec/schedule.ts';
import { namesOf, vectorNamed, WEIGHTS } from '../../core/state-vectors.ts';
import type { Assign } from '../../proto/gen/pocketfleet/v1/worker.ts';
import type { Membership } from '../training/procedure.ts';
import { type Replica, replicaOf } from '../training/replica.ts';
import { pausedState } from './pause.ts';
import type { Services } from './services.ts';
import { adoptStored, loadReplica, type Session } from './session.ts';

export function joinGang(options: {
  readonly session: Session;
  readonly assign: Assign;
  readonly rank: number;
  readonly plane: DataPlane;
  readonly onSuspects: (suspects: readonly Suspect[]) => void;
  readonly signal: AbortSignal;
}): Exchange {
  const { session, assign, rank } = options;
  return options.plane.createExchange({
    runId: assign.runId,
    generation: assign.generation,
    rank,
    members: assign.members,
    ...sumOf(session),
    // The checkpoint of a step has what compression left of every shard.
    gathersResiduals: rank === 0 && assign.pauses === true,
    provideState: () => {
      if (!session.replica) throw new Error('assertion: a peer asked for a state before there was one');
      return exchangedState(session.replica);
    },
    onSuspects: options.onSuspects,
    signal: options.signal,
  });
}

/**
 * What the run's exchange sums and gives: the mean over the shards, whose number is a power of two, so that
 * the division is exact; and the vectors of a replica.
 */
export function sumOf({ schedule, spec, procedure }: Session) {
  const { shards } = schedule;
  const { compression } = spec.training;
  const state = procedure.replicaShape;
  return {
    ...{ shards, elements: procedure.sumLength, compression, factor: 1 / shards },
    stateNames: namesOf(state),
    stateElements: Math.max(...state.map(({ length }) => length)),
  };
}

/** A replica as the exchange gives it to a member that is behind. */
export function exchangedState({ vectors }: Replica): State {
  const byName = Object.fromEntries(vectors.map(({ name, values }) => [name, values]));
  return { ...byName, weights: vectorNamed(vectors, WEIGHTS) };
}

/**
 * Agrees with the gang on the step at which all go on. Afterwards the session has the replica of that step,
 * and this member holds what the procedure divides among the members.
 */
export async function agreeOnState(options: {
  readonly services: Services;
  readonly session: Session;
  readonly membership: Membership;
  readonly exchange: Exchange;
  /** Committed steps of the newest checkpoint that a pause has stored; 0: there is none. */
  readonly pausedStep: number;
  /** The state comes from this stage of the store, 0 for the seed. */
  readonly onStage: (stage: number) => void;
  readonly signal: AbortSignal;
}): Promise<void> {
  const { session, membership } = options;
  if ((await membership.compareHoldings(session.replica?.step ?? -1)) === 'drop') session.replica = undefined;
  session.replica = await agreedReplica(options);
  await membership.settleHoldings(session.replica);
}

async function agreedReplica(options: Parameters<typeof agreeOnState>[0]): Promise<Replica> {
  const { services, session, exchange, signal } = options;
  const { schedule } = session;
  for (;;) {
    const { replica } = session;
    const {
      step: round,
      state,
      residualsLost,
    } = await exchange.sync(
      replica === undefined
        ? WITHOUT_STATE
        : { step: roundsBefore(schedule, replica.step), digest: replica.digest },
    );
    signal.throwIfAborted();
    const step = round < 0 ? round : stepsBeforeRound(schedule, round);
    if (residualsLost !== undefined && !beginsStage(schedule, step))
      services.log.warn(
        { run: session.runId, step, shards: residualsLost },
        'what int8 compression had left of shards went with a worker that left or died; it begins again at zero, and the result is no longer the one of an undisturbed run',
      );
    if (state !== undefined) {
      services.log.info({ run: session.runId, step }, `took the state of step ${step} from a peer`);
      const vectors = session.procedure.replicaShape.map(({ name }) => ({ name, values: state[name]! }));
      return replicaOf({ step, vectors });
    }
    if (step >= 0 && replica !== undefined) return replica;
    session.replica ??= await storedReplica(options);
  }
}

/** From storage: where a pause has left the run, or its newest stage, or the seed. */
async function storedReplica(options: Parameters<typeof agreeOnState>[0]): Promise<Replica> {
  const { services, session, exchange, pausedStep, onStage, signal } = options;
  const paused = pausedStep > 0 ? await pausedState(services, session, options) : undefined;
  if (paused === undefined) return loadReplica(services, session, signal, onStage);
  if (paused.residuals.length > 0) exchange.bringResiduals(paused.residuals);
  return adoptStored(services, session, paused, `the pause at step ${paused.step}`);
}
