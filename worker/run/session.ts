// What a run needs on this worker whichever gang it is in: its data, network, schedule and, once known, its replica. Opened
// once, kept over generations, freed when the run is released or has failed. Decides nothing of the gang.

import type { State } from '../../core/allreduce/exchange.ts';
import type { Loader } from '../../core/data/loading/loader.ts';
import { FleetError, toFleetError } from '../../core/errors.ts';
import { buildNetwork } from '../../core/nn/build.ts';
import { type Layout, layoutOf } from '../../core/nn/layout.ts';
import type { Network } from '../../core/nn/network.ts';
import { sharedFloats } from '../../core/shared-memory.ts';
import { type RunSpec, runSchema } from '../../core/spec/run.ts';
import { type Schedule, scheduleOf } from '../../core/spec/schedule.ts';
import { shaped } from '../../core/text/shape.ts';
import type { Assign } from '../../proto/gen/pocketfleet/v1/worker.ts';
import type { Compute } from '../compute/client.ts';
import { trainingGraph } from '../training/context.ts';
import { createHead, type Head, headOf, holdFrom, letGo } from '../training/head.ts';
import { headGraphs } from '../training/head-step.ts';
import { createInnerReplicas, type InnerReplicas } from '../training/inner-replicas.ts';
import { type Replica, replicaFrom, replicaWith } from '../training/replica.ts';
import { createLedger, type Ledger } from '../training/step-ledger.ts';
import { createTeacherFeed, type TeacherFeed } from '../training/teacher.ts';
import { ofThisPlace } from './failure.ts';
import type { Services } from './services.ts';

export interface Session {
  readonly runId: string;
  readonly spec: RunSpec;
  readonly network: Network;
  /** Of the replica: without the head when that is sharded. */
  readonly layout: Layout;
  /** With the head in any case. */
  readonly checkpointLayout: Layout;
  /** When the run's head is sharded by class: what this worker has of it. */
  readonly head: Head | undefined;
  readonly loader: Loader;
  /** In the replica: 0 when the head is sharded. */
  readonly classes: number;
  readonly schedule: Schedule;
  readonly teacher: TeacherFeed | undefined;
  readonly ledger: Ledger;
  /** The last stage up to which this worker has reported the checkpoints. */
  reportedStage: number;
  readonly inner: InnerReplicas;
  /** Undefined until the gang gave it or a checkpoint or the seed did. */
  replica: Replica | undefined;
  close(): Promise<void>;
}

export async function openSession(options: {
  readonly services: Services;
  readonly assign: Assign;
  readonly onWaiting: (stage: number | undefined) => void;
}): Promise<Session> {
  const { services, assign } = options;
  const spec = parseSpec(assign.specJson);
  const data = await acquireData(services, spec);
  try {
    const { trainingImages } = data.loader.facts;
    const head = spec.training.head === 'sharded' ? createHead(spec, data.loader.facts.classes) : undefined;
    const classes = head ? 0 : data.loader.facts.classes;
    const network = buildNetwork(spec.network);
    // Compiled here, not by the first step: a gang would wait for it with its members' sums in memory.
    for (const graph of head ? headGraphs(head) : [trainingGraph(spec, classes)])
      await services.compute.prepare(graph);
    const broker = await services.broker;
    const teacher = teacherOf(options, spec, broker);
    const schedule = scheduleOf(spec.training, trainingImages);
    const layout = layoutOf(network, { classes });
    const inner = createInnerReplicas(layout);
    return {
      runId: assign.runId,
      spec,
      network,
      layout,
      checkpointLayout: layoutOf(network, { classes: data.loader.facts.classes }),
      head,
      loader: data.loader,
      classes,
      schedule,
      teacher,
      ledger: createLedger({ schedule, seed: spec.training.seed }),
      reportedStage: 0,
      inner,
      replica: undefined,
      async close() {
        teacher?.close();
        if (head) letGo(head);
        inner.keep([]);
        await data.release();
      },
    };
  } catch (caught) {
    await data.release();
    throw caught;
  }
}

/** What is wrong with a data set that was in order at submit is wrong here: a mount that is empty, a folder that is away. */
async function acquireData(services: Services, spec: RunSpec) {
  try {
    return await services.datasets.acquire(spec.data);
  } catch (caught) {
    throw ofThisPlace(toFleetError(caught), 'the data set is not here as it was at submit');
  }
}

/** The state that storage or the seed gives, for a gang in which nobody has one. */
export async function loadReplica(
  services: Services,
  session: Session,
  signal: AbortSignal,
): Promise<Replica> {
  const { checkpoints } = await services.broker;
  const { runId, checkpointLayout: layout } = session;
  const stored = await checkpoints.newest(runId, signal);
  if (stored === undefined) return firstReplica(services.compute, session);
  if (stored.weights.length !== layout.parameterCount || stored.running.length !== layout.runningCount)
    throw new FleetError(
      'dataLoss',
      `checkpoint ${stored.stage} of ${runId} has ${stored.weights.length} weights, the run has ${layout.parameterCount}`,
    );
  services.log.info({ run: runId, step: stored.step }, `continues from checkpoint ${stored.stage}`);
  return storedReplica(session, stored);
}

/** As the seed makes it, with this worker's class shards. */
export async function firstReplica(
  compute: Compute,
  { layout, checkpointLayout, head, spec }: Session,
): Promise<Replica> {
  const { parameterCount, classes } = checkpointLayout;
  const weights = sharedFloats(parameterCount);
  // In the compute thread, because a worker that says nothing for as long as many classes take would be given up.
  await compute.initial({ network: spec.network, classes, seed: spec.training.seed, into: weights });
  if (head === undefined) return replicaWith(layout, weights);
  const none = new Float32Array(parameterCount);
  holdFrom(head, headOf(checkpointLayout, { weights, momentum: none }), 0);
  const backbone = sharedFloats(layout.parameterCount);
  backbone.set(weights.subarray(0, layout.parameterCount));
  return replicaWith(layout, backbone);
}

/** As a checkpoint has it, with this worker's class shards. */
export function storedReplica(
  { layout, checkpointLayout, head }: Session,
  stored: State & { readonly step: number },
): Replica {
  if (head === undefined) return replicaFrom(stored.step, stored);
  holdFrom(head, headOf(checkpointLayout, stored), stored.step);
  const backbone = (values: Float32Array) => values.subarray(0, layout.parameterCount);
  return replicaFrom(stored.step, {
    weights: backbone(stored.weights),
    momentum: backbone(stored.momentum),
    running: stored.running,
  });
}

function parseSpec(text: string): RunSpec {
  return shaped(runSchema, JSON.parse(text), "this worker does not understand the run's spec");
}

function teacherOf(
  options: Parameters<typeof openSession>[0],
  spec: RunSpec,
  broker: Awaited<Services['broker']>,
): TeacherFeed | undefined {
  const { services, assign } = options;
  if (spec.distillation === undefined) return undefined;
  if (assign.teacherRunId === '' || assign.teacherStages === 0)
    throw new FleetError('invalidArgument', 'the run distils, but the assignment names no teacher run');
  const { checkpoints } = broker;
  return createTeacherFeed({
    teacherRunId: assign.teacherRunId,
    teacherStages: assign.teacherStages,
    schedule: spec.distillation.schedule,
    batch: spec.training.batch / spec.training.shards,
    embedding: spec.network.embedding,
    compute: services.compute,
    load: (stage, signal) => checkpoints.network(assign.teacherRunId, stage, signal),
    exists: async (stage) =>
      (await checkpoints.find(assign.teacherRunId, stage, new AbortController().signal)) !== undefined,
    onWaiting: options.onWaiting,
  });
}
