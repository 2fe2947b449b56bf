// Answers a Replay command: the steps between two checkpoints of a run are computed again by this worker
// alone, with the code that trained the run, and compared with what is stored after its stages and after the
// steps where it was paused. Decides what is compared and what a point of the answer contains. A failure is part
// of the answer.

import type { Exchange } from '../../core/allreduce/exchange.ts';
import { isWhole } from '../../core/checkpoint/manifest.ts';
import { digest64 } from '../../core/digest.ts';
import { FleetError, toFleetError } from '../../core/errors.ts';
import { roundsBefore, stageEndingAt, stepsAtStage } from '../../core/spec/schedule.ts';
import {
  type StateShape,
  type StateVectors,
  stateDigest,
  trainedDigest,
  vectorNamed,
  WEIGHTS,
} from '../../core/state-vectors.ts';
import type { ReplayPoint, StageVerdict, TensorDigest } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import type { Replay } from '../../proto/gen/pocketfleet/v1/worker.ts';
import type { Checkpoints } from '../run/checkpoints.ts';
import { checkpointOf, contentOf } from '../run/finish.ts';
import { exchangedState, sumOf } from '../run/gang.ts';
import { pausedVectors } from '../run/pause.ts';
import type { OwnServices, Services } from '../run/services.ts';
import { firstReplica, openSession, type Session } from '../run/session.ts';
import type { Membership } from '../training/procedure.ts';
import type { Replica } from '../training/replica.ts';
import { createTeacherBlocks } from '../training/teacher-blocks.ts';
import { train } from '../training/train.ts';

/** So many points travel in one report at most; a tiny run has hundreds of steps a second. */
const POINTS_TOGETHER = 16;

export async function answerReplay(
  services: OwnServices,
  request: Replay,
  signal: AbortSignal,
): Promise<void> {
  const { requestId, runId } = request;
  let points: ReplayPoint[] = [];
  const send = (more: { ended: boolean; error: string }) => {
    services.report({ $case: 'replayResult', value: { requestId, points, ...more } });
    points = [];
  };
  try {
    await replay(services, request, signal, (point) => {
      points.push(point);
      const isCompared = point.stage > 0 || request.steps.includes(point.step);
      if (isCompared || points.length >= POINTS_TOGETHER) send({ ended: false, error: '' });
    });
    send({ ended: true, error: '' });
  } catch (caught) {
    if (signal.aborted) return;
    const { message } = toFleetError(caught);
    services.log.warn({ run: runId, requestId }, `replay failed: ${message}`);
    send({ ended: true, error: message });
  }
}

async function replay(
  services: OwnServices,
  request: Replay,
  signal: AbortSignal,
  onPoint: (point: ReplayPoint) => void,
): Promise<void> {
  const { runId, fromStage, toStage, steps, deviceClass } = request;
  // Bits are equal within a device class only, so a difference that is found on another class would prove
  // nothing.
  if (deviceClass !== services.deviceClass)
    throw new FleetError(
      'failedPrecondition',
      `${runId} was computed on ${deviceClass}, this worker is ${services.deviceClass}; only the same device class gives the same bits`,
    );
  const assign = { ...request, generation: 0, members: [], evaluateStages: [] };
  // What it proves is computed here, the embeddings of a teacher too.
  const blocks = createTeacherBlocks();
  const session = await openSession({ services, assign, onWaiting: () => undefined, blocks });
  const releases: (() => unknown)[] = [() => session.close()];
  try {
    await assertTeacherStages(session, request, (await services.broker).checkpoints, signal);
    const membership = await joinAlone(services, session, signal);
    releases.push(() => membership.leave());
    const replica = await startOf(services, session, { runId, fromStage, signal });
    const shape = session.procedure.stateShape;
    const { checkpoints } = await services.broker;
    const stateNow = async (): Promise<StateVectors> => {
      const state = await membership.gatherState(replica);
      if (state === undefined) throw new Error('assertion: the only member has rank 0');
      return state;
    };
    const point = async (stage: number, state: StateVectors, stored?: Stored): Promise<ReplayPoint> => {
      return {
        step: replica.step,
        stage,
        weightsDigest: trainedDigest(state),
        comparedDigest: replica.digest,
        stateDigest: stateDigest(state),
        tensors: request.eachStep ? tensorDigests(shape, state) : [],
        verdict: stored && verdictOf(shape, state, stored),
        workerId: services.workerId,
        deviceClass: services.deviceClass,
      };
    };
    const stepsTotal = Math.max(stepsAtStage(session.schedule, toStage), ...steps);
    const schedule = { ...session.schedule, stepsTotal };
    // Two runs may differ before their first step.
    if (request.eachStep) onPoint(await point(0, await stateNow()));
    const alone = await exchangeAlone(services, session, replica);
    releases.push(() => alone.close());
    const pausePoint = async (step: number): Promise<ReplayPoint> => {
      const state = await pausedVectors(session, await stateNow(), alone);
      return point(0, state, await storedAfter(checkpoints, runId, step, signal));
    };
    await train({
      ...session,
      schedule,
      replica,
      membership,
      shards: Array.from({ length: schedule.shards }, (_, shard) => shard),
      exchange: alone,
      clock: services.clock,
      begin: services.time.begin,
      signal,
      onBoundary: async (stage) => {
        if (stage === fromStage) return;
        const state = await stateNow();
        // A stage in between may have been let go, and is not stored anew.
        if (request.mend && stage === toStage) {
          const content = await contentOf(session, membership, { stage, replica });
          const computed = await checkpointOf({ services, session, signal }, stage, content!);
          await checkpoints.mend(runId, computed, signal);
        }
        onPoint(await point(stage, state, await storedAt(checkpoints, runId, stage, signal)));
      },
      onProgress: () => undefined,
      onUnit: async ({ step }) => {
        // A point at the end of a stage is sent with its verdict, by onBoundary.
        if (stageEndingAt(schedule, step) > 0) return;
        if (steps.includes(step)) onPoint(await pausePoint(step));
        else if (request.eachStep) onPoint(await point(0, await stateNow()));
      },
    });
  } finally {
    for (const release of releases.reverse()) await release();
  }
}

/** What is known of a stage as it was stored: all of it, or its digest alone once parts of it were let go. */
type Stored = { readonly vectors: StateVectors } | { readonly digest: string };

async function storedAt(
  checkpoints: Checkpoints,
  runId: string,
  stage: number,
  signal: AbortSignal,
): Promise<Stored | undefined> {
  const manifest = await checkpoints.find(runId, stage, signal);
  if (manifest === undefined) return undefined;
  if (isWhole(manifest)) return checkpoints.load(runId, stage, signal);
  const digest = manifest.metadata.state_digest;
  return digest === undefined ? undefined : { digest };
}

/** What a pause has stored after a step; undefined once it was let go, which the next stage does. */
async function storedAfter(
  checkpoints: Checkpoints,
  runId: string,
  step: number,
  signal: AbortSignal,
): Promise<Stored | undefined> {
  try {
    return await checkpoints.loadStep(runId, step, signal);
  } catch (caught) {
    if (toFleetError(caught).code === 'notFound') return undefined;
    throw caught;
  }
}

/**
 * Throws where a stage that is to be computed learned from other bytes than the teacher's stage has now, or
 * from a stage that is not there any more.
 */
async function assertTeacherStages(
  { teacher, runId }: Session,
  { teacherRunId, fromStage, toStage }: Replay,
  checkpoints: Checkpoints,
  signal: AbortSignal,
): Promise<void> {
  for (let stage = fromStage + 1; teacher !== undefined && stage <= toStage; stage++) {
    const digest = await teacher.digestFor(stage - 1, signal);
    const learnedFrom = (await checkpoints.find(runId, stage, signal))?.metadata.teacher_digest;
    if (learnedFrom !== undefined && learnedFrom !== digest)
      throw new FleetError(
        'failedPrecondition',
        `stage ${stage} of ${runId} learned from a checkpoint of ${teacherRunId} with digest ${learnedFrom}, and what is stored there now has ${digest}: a replay would compute something else`,
      );
  }
}

async function startOf(
  services: Services,
  session: Session,
  from: { readonly runId: string; readonly fromStage: number; readonly signal: AbortSignal },
): Promise<Replica> {
  if (from.fromStage === 0) return firstReplica(session);
  const { checkpoints } = await services.broker;
  const stored = await checkpoints.load(from.runId, from.fromStage, from.signal);
  return session.procedure.adopt(stored);
}

/** The place of the only member of a gang, which has all shards. */
function placeAlone({ workerId }: Services, { runId, schedule }: Session) {
  return {
    // Another name than the run's own, because the run may be training here at the same time.
    runId: `${runId}-replayed`,
    generation: 0,
    rank: 0,
    members: [{ workerId, shardFirst: 0, shardCount: schedule.shards }],
  };
}

async function joinAlone(services: Services, session: Session, signal: AbortSignal): Promise<Membership> {
  const { gradients } = await services.broker;
  return session.procedure.join({
    ...placeAlone(services, session),
    plane: gradients,
    onSuspects: () => undefined,
    log: services.log,
    signal,
  });
}

/** The exchange of a gang of one; it sends nothing. */
async function exchangeAlone(services: Services, session: Session, replica: Replica): Promise<Exchange> {
  const { gradients } = await services.broker;
  const exchange = gradients.createExchange({
    ...placeAlone(services, session),
    ...sumOf(session),
    provideState: () => exchangedState(replica),
  });
  await exchange.sync({ step: roundsBefore(session.schedule, replica.step), digest: replica.digest });
  return exchange;
}

/** One tensor of a state. */
interface StatePart {
  /** The tensor's name in the weights; in all other vectors `VECTOR/NAME`. */
  readonly name: string;
  valuesIn(state: StateVectors): Float32Array;
}

/**
 * Every tensor of a state in the order in which differences are looked for: vector by vector, at last those that a
 * pause stores beside the shape of the state.
 */
function partsOf(shape: StateShape, state: StateVectors): StatePart[] {
  const more = state
    .slice(shape.length)
    .map(({ name, values }) => ({ name, length: values.length, parts: [] }));
  return [...shape, ...more].flatMap(({ name: vector, length, parts }) => {
    const whole = [{ name: vector, offset: 0, size: length }];
    return (parts.length > 0 ? parts : whole).map(({ name, offset, size }) => ({
      name: vector === WEIGHTS || name === vector ? name : `${vector}/${name}`,
      valuesIn: (state: StateVectors) => vectorNamed(state, vector).subarray(offset, offset + size),
    }));
  });
}

const tensorDigests = (shape: StateShape, state: StateVectors): TensorDigest[] =>
  partsOf(shape, state).map((part) => ({ name: part.name, digest: digest64(part.valuesIn(state)) }));

function verdictOf(shape: StateShape, computed: StateVectors, stored: Stored): StageVerdict {
  if ('vectors' in stored) return compareStates(shape, computed, stored.vectors);
  const equal = stateDigest(computed) === stored.digest;
  return { equal, storedStateDigest: stored.digest, tensor: '', tensorsDiffering: 0, differenceMax: 0 };
}

function compareStates(shape: StateShape, computed: StateVectors, stored: StateVectors): StageVerdict {
  const differing = partsOf(shape, computed).filter(
    (part) => digest64(part.valuesIn(computed)) !== digest64(part.valuesIn(stored)),
  );
  const [first] = differing;
  return {
    equal: first === undefined,
    storedStateDigest: stateDigest(stored),
    tensor: first?.name ?? '',
    tensorsDiffering: differing.length,
    differenceMax: first ? largestDifference(first.valuesIn(computed), first.valuesIn(stored)) : 0,
  };
}

function largestDifference(a: Float32Array, b: Float32Array): number {
  let largest = 0;
  for (let i = 0; i < a.length; i++) largest = Math.max(largest, Math.abs(a[i]! - b[i]!));
  return largest;
}
