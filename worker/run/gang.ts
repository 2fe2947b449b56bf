// Joining a generation: the exchange with the other members and the agreement on the step from which all go on. Decides
// where a replica comes from (a peer before storage, storage before the seed); the protocol is core/allreduce's.

import type { Exchange, Member, Suspect } from '../../core/allreduce/exchange.ts';
import type { DataPlane } from '../../core/allreduce/plane.ts';
import { WITHOUT_STATE } from '../../core/allreduce/sync.ts';
import { FleetError } from '../../core/errors.ts';
import { planMoves } from '../../core/head/holders.ts';
import { beginsStage, roundsBefore, stepsBeforeRound } from '../../core/spec/schedule.ts';
import type { Assign } from '../../proto/gen/pocketfleet/v1/worker.ts';
import { type Head, letGo } from '../training/head.ts';
import type { HeadGang } from '../training/head-gang.ts';
import { replicaFrom } from '../training/replica.ts';
import type { Services } from './services.ts';
import { loadReplica, type Session } from './session.ts';

export function joinGang(options: {
  readonly services: Services;
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
    provideState: () => {
      if (!session.replica) throw new Error('assertion: a peer asked for a state before there was one');
      return session.replica;
    },
    onSuspects: options.onSuspects,
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
      session.replica = replicaFrom(step, state);
      services.log.info({ run: session.runId, step }, `took the state of step ${step} from a peer`);
      return;
    }
    if (step >= 0) return;
    session.replica ??= await loadReplica(services, session, signal);
  }
}

/**
 * With a sharded head: agrees on the state, and then on who has which class shards. When some of the open step are gone with the
 * members that held them, all go back to the newest checkpoint; the steps since are computed again, to the same bits.
 */
export async function agreeOnHead(options: {
  readonly services: Services;
  readonly session: Session;
  readonly head: Head;
  readonly headGang: HeadGang;
  readonly exchange: Exchange;
  readonly members: readonly Member[];
  readonly signal: AbortSignal;
}): Promise<void> {
  const { services, session, head, headGang, members } = options;
  const found = async () => {
    const standings = await headGang.standings(session.replica?.step ?? -1);
    const step = Math.max(...standings.map(({ replica }) => replica));
    return { step, ...planMoves({ members, standings, shards: head.shards, step }) };
  };
  const before = await found();
  if (before.step >= 0 && before.lost.length > 0) {
    services.log.warn(
      { run: session.runId, step: before.step, shards: before.lost },
      `class shards ${before.lost.join(', ')} of step ${before.step} are gone with the workers that held them; the run goes back to its newest checkpoint`,
    );
    session.replica = undefined;
    letGo(head);
  }
  await agreeOnState(options);
  const { step, moves, lost } = await found();
  if (lost.length > 0)
    throw new FleetError(
      'unavailable',
      `nobody has class shards ${lost.join(', ')} of step ${step}, at which ${session.runId} would go on`,
    );
  await headGang.settle(moves, step);
}
