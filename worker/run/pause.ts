// What a gang does that was told to pause: it has agreed on the newest committed step, and rank 0 stores the state
// after it. Decides how far the gang still trains, which checkpoint the state becomes, and what goes on from it.
//
// A step in flight is given up, because the next gang computes it again to the same bits. An open round of outer
// steps is finished: it may be hundreds of steps, and its inner replicas are in no checkpoint. With int8 it is
// given up too, since residuals can only be gathered where an exchange begins.

import type { Exchange, Residual } from '../../core/allreduce/exchange.ts';
import { residualName } from '../../core/checkpoint/checkpoint-layout.ts';
import type { LoadedCheckpoint } from '../../core/checkpoint/checkpoint-store.ts';
import { toFleetError } from '../../core/errors.ts';
import {
  beginsStage,
  roundEnd,
  roundsBefore,
  type Schedule,
  stageEndingAt,
  stepsAtStage,
} from '../../core/spec/schedule.ts';
import type { StateVectors } from '../../core/state-vectors.ts';
import type { StoredStep } from '../../proto/gen/pocketfleet/v1/worker.ts';
import type { Membership } from '../training/procedure.ts';
import type { Replica } from '../training/replica.ts';
import { type TrainContext, train } from '../training/train.ts';
import { type FinishContext, storeStep } from './finish.ts';
import type { Services } from './services.ts';
import type { Session } from './session.ts';

/**
 * Brings the run to a stand at every member, and at rank 0 stores and reports where it stands. Returns false when
 * every step is committed that the run is to train for now: then it ends or halts instead.
 */
export async function pauseRun(
  finish: FinishContext,
  gang: {
    readonly rank: number;
    readonly training: TrainContext;
    readonly exchange: Exchange;
  },
): Promise<boolean> {
  const { services, session, generation } = finish;
  const { runId } = session;
  const { rank, training, exchange } = gang;
  const { replica, membership, schedule } = training;
  if (finishesRound(session, schedule, replica.step))
    await train({ ...training, schedule: { ...schedule, stepsTotal: roundEnd(schedule, replica.step) } });
  const { step } = replica;
  const stage = stageEndingAt(schedule, step);
  if (stage > 0) await training.onBoundary(stage);
  if (step >= schedule.stepsTotal) return false;
  const isWithinStage = step > 0 && stage === 0;
  const stored = isWithinStage ? await storeHere(finish, { membership, replica, exchange }) : undefined;
  if (rank === 0) services.report({ $case: 'paused', value: { runId, generation, step, stored } });
  return true;
}

/** Where a stage begins a student may still wait for its teacher, which may be paused too. */
function finishesRound({ spec, teacher }: Session, schedule: Schedule, step: number): boolean {
  if (schedule.roundSteps === 1 || step >= schedule.stepsTotal) return false;
  return spec.training.compression !== 'int8' && (teacher === undefined || !beginsStage(schedule, step));
}

/** Undefined at members that store nothing. */
async function storeHere(
  finish: FinishContext,
  {
    membership,
    replica,
    exchange,
  }: { readonly membership: Membership; readonly replica: Replica; readonly exchange: Exchange },
): Promise<StoredStep | undefined> {
  const gathered = await membership.gatherState(replica);
  if (gathered === undefined) return undefined;
  const vectors = await pausedVectors(finish.session, gathered, exchange);
  const { bytes, digest, metadata } = await storeStep(finish, replica.step, vectors);
  return {
    ...{ bytes, digest },
    weightsDigest: metadata.weights_digest ?? '',
    stateDigest: metadata.state_digest ?? '',
    ledgerDigest: metadata.ledger_digest ?? '',
  };
}

/** What a pause stores of a state: with int8 also what compression has left of each shard, in the order of shards. */
export async function pausedVectors(
  { spec }: Pick<Session, 'spec'>,
  state: StateVectors,
  exchange: Pick<Exchange, 'residuals'>,
): Promise<StateVectors> {
  if (spec.training.compression !== 'int8') return state;
  const left = [...(await exchange.residuals())].sort((a, b) => a.shard - b.shard);
  return [...state, ...left.map(({ shard, values }) => ({ name: residualName(shard), values }))];
}

/** A state from which a run goes on. */
export interface Resumed {
  readonly step: number;
  readonly vectors: StateVectors;
  readonly residuals: readonly Residual[];
}

/**
 * The state that a pause has stored after `pausedStep`, unless a stage has been stored since, or it cannot be read:
 * then undefined, and the steps since the newest stage are computed again.
 */
export async function pausedState(
  services: Services,
  session: Session,
  { pausedStep, signal }: { readonly pausedStep: number; readonly signal: AbortSignal },
): Promise<Resumed | undefined> {
  const { runId, schedule } = session;
  const { checkpoints } = await services.broker;
  const newest = (await checkpoints.newestStage(runId, schedule.epochs, signal)) ?? 0;
  if (newest > 0 && stepsAtStage(schedule, newest) >= pausedStep) return undefined;
  try {
    return stateOf(session, await checkpoints.loadStep(runId, pausedStep, signal));
  } catch (caught) {
    const error = toFleetError(caught);
    if (signal.aborted || (error.code !== 'notFound' && error.code !== 'dataLoss')) throw error;
    services.log.warn(
      { run: runId, step: pausedStep, code: error.code },
      `the checkpoint of step ${pausedStep} cannot be read, the steps since the newest stage are computed again: ${error.message}`,
    );
    return undefined;
  }
}

/** Residuals are no part of the state: the exchange takes them. */
function stateOf({ schedule, procedure }: Session, { step, vectors }: LoadedCheckpoint): Resumed {
  const round = roundsBefore(schedule, step);
  const state = vectors.slice(0, procedure.stateShape.length);
  const residuals = Array.from({ length: schedule.shards }, (_, shard) => shard).flatMap((shard) => {
    const found = vectors.find(({ name }) => name === residualName(shard));
    return found === undefined ? [] : [{ shard, step: round, values: found.values }];
  });
  return { step, vectors: state, residuals };
}
