// Answers a Replay command: the steps between two checkpoints of a run, computed again by this worker alone, and compared
// with what is stored. Decides what is compared and what a point of the answer says; the steps are train.ts', the very
// code that trained the run. A failure is part of the answer.

import type { Exchange } from '../../core/allreduce/exchange.ts';
import { stateDigest } from '../../core/checkpoint/format.ts';
import { digest64 } from '../../core/digest.ts';
import { FleetError, toFleetError } from '../../core/errors.ts';
import type { Layout } from '../../core/nn/layout.ts';
import { roundsBefore, stageEndingAt, stepsAtStage } from '../../core/spec/schedule.ts';
import type { ReplayPoint, StageVerdict, TensorDigest } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import type { Replay } from '../../proto/gen/pocketfleet/v1/worker.ts';
import { sumOf } from '../run/gang.ts';
import type { Services } from '../run/services.ts';
import { firstReplica, openSession, type Session, storedReplica } from '../run/session.ts';
import { wholeState } from '../training/head.ts';
import { type HeadGang, joinHeadGang } from '../training/head-gang.ts';
import type { Replica } from '../training/replica.ts';
import { train } from '../training/train.ts';

/** Points told at once; steps of a tiny run are quick. */
const POINTS_TOGETHER = 16;

export async function answerReplay(services: Services, request: Replay, signal: AbortSignal): Promise<void> {
  const { requestId, runId } = request;
  let points: ReplayPoint[] = [];
  const tell = (more: { ended: boolean; error: string }) => {
    services.report({ $case: 'replayResult', value: { requestId, points, ...more } });
    points = [];
  };
  try {
    await replay(services, request, signal, (point) => {
      points.push(point);
      if (point.stage > 0 || points.length >= POINTS_TOGETHER) tell({ ended: false, error: '' });
    });
    tell({ ended: true, error: '' });
  } catch (caught) {
    if (signal.aborted) return;
    const { message } = toFleetError(caught);
    services.log.warn({ run: runId, requestId }, `replay failed: ${message}`);
    tell({ ended: true, error: message });
  }
}

async function replay(
  services: Services,
  request: Replay,
  signal: AbortSignal,
  onPoint: (point: ReplayPoint) => void,
): Promise<void> {
  const { runId, fromStage, toStage, deviceClass } = request;
  // First of all: bits are only promised within a class, so a difference found on another one would say nothing.
  if (deviceClass !== services.deviceClass)
    throw new FleetError(
      'failedPrecondition',
      `${runId} was computed on ${deviceClass}, this worker is ${services.deviceClass}; only the same device class gives the same bits`,
    );
  const assign = { ...request, generation: 0, members: [] };
  const session = await openSession({ services, assign, onWaiting: () => undefined });
  const releases: (() => unknown)[] = [() => session.close()];
  try {
    const { checkpointLayout: layout } = session;
    const headGang = await headAlone(services, session, signal);
    releases.push(() => headGang?.close());
    const replica = await startOf(services, session, { runId, fromStage, signal });
    const whole = () => wholeState(session.head, replica);
    const point = (stage: number, verdict: StageVerdict | undefined): ReplayPoint => {
      const state = whole();
      return {
        step: replica.step,
        stage,
        weightsDigest: session.head ? digest64(state.weights) : replica.digest,
        stateDigest: stateDigest(state),
        tensors: request.eachStep ? tensorDigests(layout, state) : [],
        verdict,
        workerId: services.workerId,
        deviceClass: services.deviceClass,
      };
    };
    const schedule = { ...session.schedule, stepsTotal: stepsAtStage(session.schedule, toStage) };
    // Two runs may differ before their first step.
    if (request.eachStep) onPoint(point(0, undefined));
    const alone = await exchangeAlone(services, session, replica);
    releases.push(() => alone.close());
    await train({
      ...session,
      schedule,
      replica,
      shards: Array.from({ length: schedule.shards }, (_, shard) => shard),
      compute: services.compute,
      exchange: alone,
      headGang,
      clock: services.clock,
      signal,
      onBoundary: async (stage) => {
        if (stage === fromStage) return;
        const { checkpoints } = await services.broker;
        const stored = await checkpoints.load(runId, stage, signal);
        onPoint(point(stage, compare(layout, whole(), stored)));
      },
      onRoundStep: () => undefined,
      onStep: ({ step }) => {
        // The end of a stage is told with its verdict.
        if (request.eachStep && stageEndingAt(schedule, step) === 0) onPoint(point(0, undefined));
      },
    });
  } finally {
    for (const release of releases.reverse()) await release();
  }
}

async function startOf(
  services: Services,
  session: Session,
  from: { readonly runId: string; readonly fromStage: number; readonly signal: AbortSignal },
): Promise<Replica> {
  if (from.fromStage === 0) return firstReplica(services.compute, session);
  const { checkpoints } = await services.broker;
  const stored = await checkpoints.load(from.runId, from.fromStage, from.signal);
  return storedReplica(session, stored);
}

/** With a sharded head: a gang of one that holds all class shards. */
async function headAlone(
  services: Services,
  session: Session,
  signal: AbortSignal,
): Promise<HeadGang | undefined> {
  const { head, runId, schedule } = session;
  if (head === undefined) return undefined;
  const { gradients } = await services.broker;
  return joinHeadGang({
    head,
    compute: services.compute,
    plane: gradients,
    runId: `${runId}-replayed`,
    generation: 0,
    rank: 0,
    members: [{ workerId: services.workerId, shardFirst: 0, shardCount: schedule.shards }],
    signal,
  });
}

/** A gang of one member that has all shards; it exchanges nothing with anybody. */
async function exchangeAlone(services: Services, session: Session, replica: Replica): Promise<Exchange> {
  const { gradients } = await services.broker;
  const exchange = gradients.createExchange({
    // Not the run's own name: it may be training here at the same time.
    runId: `${session.runId}-replayed`,
    generation: 0,
    rank: 0,
    members: [{ workerId: services.workerId, shardFirst: 0, shardCount: session.schedule.shards }],
    ...sumOf(session),
    provideState: () => replica,
  });
  await exchange.sync({ step: roundsBefore(session.schedule, replica.step), digest: replica.digest });
  return exchange;
}

interface Part {
  readonly name: string;
  readonly of: 'weights' | 'momentum' | 'running';
  readonly offset: number;
  readonly size: number;
}

/** Every tensor of a state in the order in which differences are looked for: weights, momentum, running statistics. */
function partsOf(layout: Layout): Part[] {
  const parts = (of: Part['of'], slots: Layout['parameters']) =>
    slots.map(({ name, offset, size }) => ({
      name: of === 'weights' ? name : `${of}/${name}`,
      of,
      offset,
      size,
    }));
  return [
    ...parts('weights', layout.parameters),
    ...parts('momentum', layout.parameters),
    ...parts('running', layout.running),
  ];
}

type Vectors = Pick<Replica, 'weights' | 'momentum' | 'running'>;
const valuesOf = (state: Vectors, part: Part): Float32Array =>
  state[part.of].subarray(part.offset, part.offset + part.size);

function tensorDigests(layout: Layout, state: Vectors): TensorDigest[] {
  return partsOf(layout).map((part) => ({ name: part.name, digest: digest64(valuesOf(state, part)) }));
}

function compare(layout: Layout, computed: Vectors, stored: Vectors): StageVerdict {
  const differing = partsOf(layout).filter(
    (part) => digest64(valuesOf(computed, part)) !== digest64(valuesOf(stored, part)),
  );
  const [first] = differing;
  return {
    equal: first === undefined,
    storedStateDigest: stateDigest(stored),
    tensor: first?.name ?? '',
    tensorsDiffering: differing.length,
    differenceMax: first ? largestDifference(valuesOf(computed, first), valuesOf(stored, first)) : 0,
  };
}

function largestDifference(a: Float32Array, b: Float32Array): number {
  let largest = 0;
  for (let i = 0; i < a.length; i++) largest = Math.max(largest, Math.abs(a[i]! - b[i]!));
  return largest;
}
