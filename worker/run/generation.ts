// One generation of a run on this worker, from joining the gang until the signal ends it: agree on the state,
// train or pause, verify, keep the state. Decides which member does what only one has to do (rank 0) and what is
// measured of the gang.

import { type ExchangeStats, STATS } from '../../core/allreduce/wire.ts';
import { toFleetError } from '../../core/errors.ts';
import { epochOfStep, haltedAt, type Schedule } from '../../core/spec/schedule.ts';
import type { Assign } from '../../proto/gen/pocketfleet/v1/worker.ts';
import { type TrainContext, train } from '../training/train.ts';
import { createComplaints } from './complaints.ts';
import { contentOf, type FinishContext, finishRun, haltRun, storeStage } from './finish.ts';
import { agreeOnState, joinGang } from './gang.ts';
import { pauseRun } from './pause.ts';
import type { Phases } from './phases.ts';
import { placeIn } from './place.ts';
import type { OwnServices } from './services.ts';
import type { Session } from './session.ts';
import { createSuspects, type Suspects } from './suspects.ts';
import type { Telemetry } from './telemetry.ts';

export interface GenerationContext {
  readonly services: OwnServices;
  readonly session: Session;
  readonly assign: Assign;
  readonly phases: Phases;
  readonly telemetry: Telemetry;
  /**
   * The exchange of this generation is open, and what its members complain of is in `suspects` from now on.
   */
  readonly onOpened: (suspects: Suspects) => void;
  readonly onLeft: () => void;
  readonly signal: AbortSignal;
}

/** Ends when the signal does, or with a failure. */
export async function workInGeneration(context: GenerationContext): Promise<void> {
  const { services, session, assign, phases, telemetry, signal } = context;
  const { runId, generation, members } = assign;
  const place = placeIn(members, services.workerId);
  if (!place) throw new Error(`assertion: ${services.workerId} is no member of what it was assigned`);
  signal.throwIfAborted();
  session.follow(assign);
  const { rank, shards } = place;
  const { gradients, records } = await services.broker;
  phases.enter({ kind: 'joining', generation, members: members.length });
  const suspects = createSuspects(members);
  const complaints = createComplaints({
    update: suspects.update,
    allowanceMs: () => session.teacher?.allowanceMs() ?? 0,
  });
  const exchange = joinGang({
    session,
    assign,
    rank,
    plane: gradients,
    onSuspects: (found) => complaints.heard(runId, found),
    signal,
  });
  const toLeave: (() => unknown)[] = [() => exchange.close(), complaints.close];
  context.onOpened(suspects);
  try {
    const membership = await session.procedure.join({
      runId,
      generation,
      rank,
      members,
      plane: gradients,
      onSuspects: complaints.heard,
      log: services.log,
      signal,
    });
    toLeave.unshift(() =>
      membership.leave().catch((caught: unknown) => {
        // What memory has of it is older than its step. The newest checkpoint, or a member, has another.
        session.replica = undefined;
        services.log.warn(
          { run: runId, reason: toFleetError(caught).message },
          'the device did not give the state back',
        );
      }),
    );
    const pausedStep = assign.pausedStep ?? 0;
    const onStage = (newest: number) => {
      if (rank !== 0 || newest >= (assign.storedStage ?? 0)) return;
      const missing = `stage ${assign.storedStage} is not in the store`;
      services.log.warn({ run: runId, newest }, `${missing}: the run goes on from an earlier one`);
      services.report({ $case: 'stagesMissing', value: { runId, generation, newest } });
    };
    await agreeOnState({ services, session, membership, exchange, pausedStep, onStage, signal });
    const replica = session.replica!;
    const { evaluateStages } = assign;
    const finish: FinishContext = { services, session, generation, evaluateStages, signal };
    telemetry.joined({ members: members.length, rank, records });
    const noteStage = () => services.time.stage(stageTowards(session.schedule, replica.step));
    noteStage();
    const schedule = haltedAt(session.schedule, assign.haltStage);
    const training: TrainContext = {
      ...session,
      schedule,
      replica,
      membership,
      shards,
      exchange,
      clock: services.clock,
      begin: services.time.begin,
      signal,
      onBoundary: async (stage) => {
        const content = await contentOf(session, membership, { stage, replica });
        if (content !== undefined) await storeStage(finish, stage, content);
      },
      onProgress: (openRoundSteps) =>
        telemetry.recordRound({ generation, rank, step: replica.step, openRoundSteps }),
      onUnit: (point, times, differenceError) => {
        noteStage();
        telemetry.recordUnit({
          point,
          times,
          differenceError,
          generation,
          rank,
          shards: shards.length,
          schedule: session.schedule,
          stats: totalOf([exchange.stats(), ...membership.exchangeStats()]),
          records,
        });
      },
    };
    const phase = assign.pauses === true ? 'pausing' : 'training';
    phases.enter({ kind: phase, generation, step: replica.step });
    const isPaused = assign.pauses === true && (await pauseRun(finish, { rank, training, exchange }));
    if (!isPaused) await train(training);
    if (!isPaused && rank === 0) {
      phases.enter({ kind: 'evaluating' });
      if (schedule.stepsTotal < session.schedule.stepsTotal) await haltRun(finish, assign.haltStage!);
      else await finishRun(finish);
    }
    phases.enter({ kind: 'holding', step: replica.step });
    if (isPaused) services.time.rest('paused');
    // The exchange stays open, because a slower member may still ask for the last sum.
    await aborted(signal);
  } finally {
    context.onLeft();
    for (const leave of toLeave) await leave();
  }
}

function totalOf(all: readonly Readonly<ExchangeStats>[]): ExchangeStats {
  const sum = (name: keyof ExchangeStats) => all.reduce((total, stats) => total + stats[name], 0);
  return Object.fromEntries(STATS.map((name) => [name, sum(name)])) as ExchangeStats;
}

/** The stage that the step after `step` belongs to, from 1. */
const stageTowards = (schedule: Schedule, step: number): number => epochOfStep(schedule, step) + 1;

/** Resolves when the signal is aborted. */
export function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
