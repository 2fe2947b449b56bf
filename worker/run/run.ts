// One run's life on this worker: preparing, joining, training, evaluating, holding, until it is released. Decides what a new
// generation, a release or a failure does to the work in hand; the loop is train.ts', the gang core/allreduce's.
//
// Whatever ends a generation only aborts its signal. The work then stops where it waits, never in the middle of an
// optimiser step, so the replica is always the state after a whole number of steps and goes into the next generation.

import { type ExchangeStats, STATS } from '../../core/allreduce/wire.ts';
import { FleetError, toFleetError } from '../../core/errors.ts';
import type { Assign, Lease } from '../../proto/gen/pocketfleet/v1/worker.ts';
import { type HeadGang, headExchangeNames, joinHeadGang } from '../training/head-gang.ts';
import { train } from '../training/train.ts';
import { failureOf } from './failure.ts';
import { finishRun, storeStage } from './finish.ts';
import { agreeOnHead, agreeOnState, joinGang } from './gang.ts';
import { type Phase, sentenceOf } from './phase.ts';
import { placeIn } from './place.ts';
import type { Services } from './services.ts';
import { openSession, type Session } from './session.ts';
import { createSuspects } from './suspects.ts';
import { createTelemetry } from './telemetry.ts';

export interface HeldRun {
  readonly runId: string;
  /** The newest generation that was assigned. */
  generation(): number;
  lease(): Lease;
  /** A newer generation replaces the one in hand. */
  assign(assign: Assign): void;
  release(reason: string): void;
  /** Resolves when nothing of the run is left here. */
  readonly ended: Promise<void>;
}

export function holdRun(services: Services, first: Assign): HeldRun {
  const { runId } = first;
  const log = services.log.child({ run: runId });
  const telemetry = createTelemetry(services, runId);
  const life = new AbortController();
  let current = first;
  let turn = new AbortController();
  let session: Session | undefined;
  let phase: Phase = { kind: 'preparing' };
  /** For the coordinator: what this member sees of the others in the exchange, and whether it is there at all. */
  let suspects = createSuspects([]);
  let inExchange = false;

  const leaveExchange = () => {
    inExchange = false;
    suspects = createSuspects([]);
  };
  const enter = (next: Phase) => {
    const sentence = sentenceOf(next);
    phase = next;
    log.info({ phase: phase.kind }, sentence);
    void services.broker.then(({ records }) => records.line({ runId, level: 'info', text: sentence }));
  };
  const onWaiting = (stage: number | undefined) => {
    const training = phase;
    telemetry.waiting(stage, current.generation, session?.replica?.step ?? 0);
    if (stage !== undefined) enter({ kind: 'waiting', teacherRunId: current.teacherRunId, stage });
    else if (training.kind === 'waiting')
      enter({ kind: 'training', generation: current.generation, step: session?.replica?.step ?? 0 });
  };

  /** What it did before it had to wait for the store. */
  let interrupted: Phase | undefined;
  const onStoreWait = (reason: string | undefined) => {
    if (reason !== undefined) {
      interrupted ??= phase;
      enter({ kind: 'storing', reason });
    } else if (interrupted !== undefined) {
      const before = interrupted;
      interrupted = undefined;
      if (phase.kind === 'storing') enter(before);
    }
  };

  const live = async () => {
    const forgetWaits = services.broker.then(({ checkpoints }) => checkpoints.onWait(runId, onStoreWait));
    while (!life.signal.aborted) {
      const assign = current;
      const signal = AbortSignal.any([turn.signal, life.signal]);
      try {
        if (session === undefined) {
          enter({ kind: 'preparing' });
          session = await openSession({ services, assign, onWaiting });
        }
        await takePart(session, assign, signal);
      } catch (caught) {
        if (!signal.aborted) await fail(assign, toFleetError(caught));
      }
      await aborted(signal);
    }
    await session?.close();
    void forgetWaits.then((forget) => forget());
    void services.broker.then(({ gradients }) => {
      for (const name of [runId, ...headExchangeNames(runId)]) gradients.releaseRun(name);
    });
    telemetry.close();
  };

  /** Works in one generation until its signal ends it. */
  const takePart = async (own: Session, assign: Assign, signal: AbortSignal) => {
    const place = placeIn(assign.members, services.workerId);
    if (!place) throw new Error(`assertion: ${services.workerId} is no member of what it was assigned`);
    signal.throwIfAborted();
    const { generation, members } = assign;
    const { rank, shards } = place;
    const { gradients, records } = await services.broker;
    const context = { services, session: own, generation, signal };
    enter({ kind: 'joining', generation, members: members.length });
    const seen = createSuspects(members);
    const exchange = joinGang({
      ...context,
      assign,
      rank,
      plane: gradients,
      onSuspects: (found) => seen.from(runId, found),
    });
    inExchange = assign === current;
    if (inExchange) suspects = seen;
    let headGang: HeadGang | undefined;
    try {
      const { head } = own;
      const { compute } = services;
      if (head === undefined) await agreeOnState({ ...context, exchange });
      else {
        headGang = await joinHeadGang({
          head,
          compute,
          plane: gradients,
          runId,
          generation,
          rank,
          members,
          onSuspects: seen.from,
          signal,
        });
        await agreeOnHead({ ...context, exchange, head, headGang, members });
      }
      telemetry.joined({ members: members.length, rank, records });
      enter({ kind: 'training', generation, step: own.replica!.step });
      await train({
        ...own,
        replica: own.replica!,
        shards,
        compute,
        exchange,
        headGang,
        clock: services.clock,
        signal,
        onBoundary: async (stage) => {
          const whole = await headGang?.whole();
          if (rank === 0) await storeStage(context, stage, whole);
        },
        onRoundStep: (openRoundSteps) =>
          telemetry.roundStep({ generation, rank, step: own.replica!.step, openRoundSteps }),
        onStep: (point, times) =>
          telemetry.step({
            point,
            times,
            generation,
            rank,
            shards: shards.length,
            schedule: own.schedule,
            stats: totalOf([exchange.stats(), ...(headGang?.stats() ?? [])]),
            records,
          }),
      });
      if (rank === 0) {
        enter({ kind: 'evaluating' });
        await finishRun(context);
      }
      enter({ kind: 'holding', step: own.replica!.step });
      // The exchange stays open: a slower member may still ask for the last sum.
      await aborted(signal);
    } finally {
      leaveExchange();
      headGang?.close();
      exchange.close();
    }
  };

  /** The state may be what is wrong, so it is dropped: another try begins from a checkpoint. */
  const fail = async (assign: Assign, error: FleetError) => {
    const { cause, ofPlace } = failureOf(error);
    const step = session?.replica?.step ?? 0;
    log.error(
      { cause, ofPlace, code: error.code, details: error.details, stack: error.stack },
      error.message,
    );
    if (cause === 'numeric') services.metrics.nonfinite.inc({ run: runId });
    const failed = session;
    session = undefined;
    enter({ kind: 'failed', reason: error.message });
    services.report({
      $case: 'failed',
      value: { runId, generation: assign.generation, cause, ofPlace, message: error.message, step },
    });
    await failed?.close();
  };

  return {
    runId,
    generation: () => current.generation,
    lease: () => ({
      runId,
      generation: current.generation,
      step: session?.replica?.step ?? 0,
      imagesPerSecond: telemetry.speed(),
      inExchange,
      suspects: suspects.all(),
      waitsForStore: phase.kind === 'storing' ? phase.reason : undefined,
    }),
    assign(assign) {
      leaveExchange();
      current = assign;
      const old = turn;
      turn = new AbortController();
      old.abort(new FleetError('aborted', `generation ${assign.generation} has begun`));
    },
    release: (reason) => life.abort(new FleetError('cancelled', reason)),
    ended: live(),
  };
}

function totalOf(all: readonly Readonly<ExchangeStats>[]): ExchangeStats {
  const sum = (name: keyof ExchangeStats) => all.reduce((total, stats) => total + stats[name], 0);
  return Object.fromEntries(STATS.map((name) => [name, sum(name)])) as ExchangeStats;
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
