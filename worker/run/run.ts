// One run's life on this worker, from its first assignment until it is released. Decides what a new
// generation, a release or a failure does to the work in hand.
//
// Whatever ends a generation only aborts its signal. The work then stops where it waits and never in the
// middle of an optimiser step, so the replica is always the state after a whole number of steps and goes on
// in the next generation.

import { damagedStage } from '../../core/checkpoint/artefact-names.ts';
import { FleetError, toFleetError } from '../../core/errors.ts';
import type { Assign, Lease } from '../../proto/gen/pocketfleet/v1/worker.ts';
import { type EmbeddingSession, embedInGeneration, openEmbedding } from './embedding.ts';
import { factsOf, failureOf } from './failure.ts';
import { aborted, type GenerationContext, workInGeneration } from './generation.ts';
import { type InheritedSession, openInherited, verifyInherited } from './inherited.ts';
import { reasonOfWait } from './phase.ts';
import { createPhases } from './phases.ts';
import { parseSpec } from './run-spec.ts';
import { ownServices, type Services } from './services.ts';
import { openSession, type Session } from './session.ts';
import type { Suspects } from './suspects.ts';
import { createTelemetry } from './telemetry.ts';

export interface HeldRun {
  readonly runId: string;
  /** The newest generation that was assigned. */
  generation(): number;
  lease(): Lease;
  /** Replaces the generation in hand by a newer one. */
  assign(assign: Assign): void;
  release(reason: string): void;
  /** Resolves when nothing of the run is left here. */
  readonly ended: Promise<void>;
}

export function holdRun(services: Services, first: Assign): HeldRun {
  const { runId } = first;
  const time = services.timeline.open(runId);
  const ours = ownServices(services, time);
  const own = { ...ours, log: services.log.child({ run: runId }) };
  const telemetry = createTelemetry(services, runId);
  const phases = createPhases(own, runId);
  const life = new AbortController();
  let current = first;
  let turn = new AbortController();
  let session: Session | undefined;
  /** In place of a session, for a run that trains nothing. */
  let embedding: EmbeddingSession | undefined;
  /** As `embedding`, for a candidate that is verified with inherited weights. */
  let inherited: InheritedSession | undefined;
  /** What this member sees of the others; undefined while it is in no exchange. */
  let suspects: Suspects | undefined;
  const exchangeNames = new Set([runId]);
  const committed = () => session?.replica?.step ?? embedding?.step ?? 0;

  const onWaiting = (stage: number | undefined) => {
    const { generation, teacherRunId } = current;
    const then = embedding === undefined ? 'training' : 'embedding';
    telemetry.recordWait(stage, generation, committed());
    phases.onTeacherWait({ stage, teacherRunId, generation, step: committed(), then });
  };
  const openRun = async (assign: Assign): Promise<Session> => {
    phases.enter({ kind: 'preparing' });
    const opened = await openSession({ services: ours, assign, onWaiting });
    for (const name of opened.procedure.exchangeNames) exchangeNames.add(name);
    return opened;
  };

  const workInSession = async (work: Omit<GenerationContext, 'session' | 'onOpened' | 'onLeft'>) => {
    session ??= await openRun(work.assign);
    await workInGeneration({
      ...work,
      session,
      onOpened: (seen) => {
        // An assignment that came meanwhile has ended this generation already.
        if (work.assign === current) suspects = seen;
      },
      onLeft: () => {
        suspects = undefined;
      },
    });
  };

  const live = async () => {
    const ignoreWaits = services.broker.then(({ checkpoints }) =>
      checkpoints.onWait(runId, phases.onStoreWait),
    );
    while (!life.signal.aborted) {
      const assign = current;
      const signal = AbortSignal.any([turn.signal, life.signal]);
      try {
        const work = { services: ours, assign, phases, telemetry, signal };
        const { kind, inherits } = parseSpec(assign.specJson);
        if (kind === 'embedding') {
          embedding ??= await openEmbedding({ services: ours, assign, onWaiting });
          await embedInGeneration({ ...work, session: embedding });
        } else if (inherits !== undefined) {
          inherited ??= await openInherited({ services: ours, assign, inherits });
          await verifyInherited({ ...work, session: inherited });
        } else await workInSession(work);
      } catch (caught) {
        if (!signal.aborted) await fail(assign, toFleetError(caught));
      }
      await aborted(signal);
    }
    await session?.close();
    await embedding?.close();
    await inherited?.close();
    void ignoreWaits.then((ignore) => ignore());
    void services.broker.then(({ gradients }) => {
      for (const name of exchangeNames) gradients.releaseRun(name);
    });
    telemetry.close();
    time.end();
  };

  /** The state may be what is wrong, so it is dropped: another try begins from a checkpoint. */
  const fail = async ({ generation }: Assign, error: FleetError) => {
    const [step, failed] = [committed(), session ?? embedding ?? inherited];
    session = undefined;
    embedding = undefined;
    inherited = undefined;
    phases.enter({ kind: 'failed', reason: error.message });
    reportFailure(own, { runId, generation, step, error });
    await failed?.close();
  };

  return {
    runId,
    generation: () => current.generation,
    lease: () => ({
      runId,
      generation: current.generation,
      step: committed(),
      imagesPerSecond: telemetry.speed(),
      passesPerSecond: (session ?? embedding)?.teacher?.passSpeed(),
      rowsRefused: (session ?? embedding)?.teacher?.rowsRefused(),
      inExchange: suspects !== undefined,
      suspects: suspects?.all() ?? [],
      waitsForStore: reasonOfWait(phases.current()),
    }),
    assign(assign) {
      suspects = undefined;
      current = assign;
      const old = turn;
      turn = new AbortController();
      old.abort(new FleetError('aborted', `generation ${assign.generation} has begun`));
    },
    release: (reason) => life.abort(new FleetError('cancelled', reason)),
    ended: live(),
  };
}

function reportFailure(
  { log, metrics, report }: Services,
  failed: {
    readonly runId: string;
    readonly generation: number;
    readonly step: number;
    readonly error: FleetError;
  },
): void {
  const { runId, generation, step, error } = failed;
  const { code, details, stack, message } = error;
  const { cause, ofPlace } = failureOf(error);
  log.error({ cause, ofPlace, code, details, stack }, message);
  if (cause === 'numeric') metrics.nonfinite.inc({ run: runId });
  const damaged = damagedStage(error);
  const facts = factsOf(error);
  report({
    $case: 'failed',
    value: { runId, generation, cause, ofPlace, message, step, damaged, ...facts },
  });
}
