// What a run needs on this worker whichever gang it is in: its data, network, schedule and, once known, its replica. Opened
// once, kept over generations, freed when the run is released or has failed. Decides nothing of the gang.

import type { Loader } from '../core/data/loader.ts';
import { FleetError } from '../core/errors.ts';
import { buildNetwork } from '../core/nn/build.ts';
import { type Layout, layoutOf } from '../core/nn/layout.ts';
import type { Network } from '../core/nn/network.ts';
import { type Schedule, scheduleOf } from '../core/schedule.ts';
import { type RunSpec, runSchema } from '../core/spec.ts';
import type { Assign } from '../proto/gen/pocketfleet/v1/worker.ts';
import { createLedger, type Ledger } from './ledger.ts';
import type { Services } from './services.ts';
import { initialReplica, type Replica, replicaFrom } from './state.ts';
import { createTeacherFeed, type TeacherFeed } from './teacher.ts';
import { trainingGraph } from './train.ts';

export interface Session {
  readonly runId: string;
  readonly spec: RunSpec;
  readonly network: Network;
  readonly layout: Layout;
  readonly loader: Loader;
  readonly classes: number;
  readonly schedule: Schedule;
  readonly teacher: TeacherFeed | undefined;
  readonly ledger: Ledger;
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
  const data = await services.datasets.acquire(spec.data);
  try {
    const { classes, trainingImages } = data.loader.facts;
    const network = buildNetwork(spec.network);
    // Compiled here, not by the first step: a gang would wait for it with its members' sums in memory.
    await services.compute.prepare(trainingGraph(spec, classes));
    const broker = await services.broker;
    const teacher = teacherOf(options, spec, broker);
    const schedule = scheduleOf(spec.training, trainingImages);
    return {
      runId: assign.runId,
      spec,
      network,
      layout: layoutOf(network, { classes }),
      loader: data.loader,
      classes,
      schedule,
      teacher,
      ledger: createLedger({ schedule, seed: spec.training.seed }),
      replica: undefined,
      async close() {
        teacher?.close();
        await data.release();
      },
    };
  } catch (caught) {
    await data.release();
    throw caught;
  }
}

/** The state that storage or the seed gives, for a gang in which nobody has one. */
export async function loadReplica(
  services: Services,
  session: Session,
  signal: AbortSignal,
): Promise<Replica> {
  const { checkpoints } = await services.broker;
  const { runId, layout, spec } = session;
  const stored = await checkpoints.newest(runId, signal);
  if (stored === undefined) return initialReplica(layout, spec.training.seed);
  if (stored.weights.length !== layout.parameterCount || stored.running.length !== layout.runningCount)
    throw new FleetError(
      'dataLoss',
      `checkpoint ${stored.stage} of ${runId} has ${stored.weights.length} weights, the run has ${layout.parameterCount}`,
    );
  services.log.info({ run: runId, step: stored.step }, `continues from checkpoint ${stored.stage}`);
  return replicaFrom(stored.step, stored);
}

function parseSpec(text: string): RunSpec {
  const parsed = runSchema.safeParse(JSON.parse(text));
  if (!parsed.success)
    throw new FleetError(
      'invalidArgument',
      `this worker does not understand the run's spec: ${parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ')}`,
    );
  return parsed.data;
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
