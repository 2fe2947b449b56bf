// What a run needs on this worker whichever gang it is in: its data, network, schedule and procedure and,
// once known, its replica. Decides how these are opened and where the state comes from when no member of the
// gang has one. A session outlives generations and is closed when the run is released or has failed.

import type { Loader } from '../../core/data/loading/loader.ts';
import { shardSamples } from '../../core/data/loading/sampler.ts';
import { type Samplings, samplingsOf } from '../../core/data/loading/samplings.ts';
import { FleetError, toFleetError } from '../../core/errors.ts';
import type { LayerGraph } from '../../core/nn/network.ts';
import { type Half, singlesNote } from '../../core/search/halves.ts';
import { sharedFloats } from '../../core/shared-memory.ts';
import { type DataOfRun, dataKeyOf } from '../../core/spec/data-key.ts';
import { adapterWidth, blockFormOf, sharesOverFleet } from '../../core/spec/distillation.ts';
import { orderKeyOf } from '../../core/spec/order-key.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import type { Schedule } from '../../core/spec/schedule.ts';
import { orderOf } from '../../core/spec/training.ts';
import { firstMisfit } from '../../core/state-vectors.ts';
import type { Assign } from '../../proto/gen/pocketfleet/v1/worker.ts';
import { type BatchSource, createBatchSource } from '../training/batch-source.ts';
import { type BlockSupply, createBlockSupply } from '../training/block-supply.ts';
import { chooseProcedure, trainedNetwork } from '../training/choose-procedure.ts';
import type { Procedure } from '../training/procedure.ts';
import type { Replica, StateAtStep } from '../training/replica.ts';
import { createLedger, type Ledger } from '../training/step-ledger.ts';
import { createTeacherFeed, type TeacherFeed } from '../training/teacher.ts';
import { createTeacherBlocks, type TeacherBlocks } from '../training/teacher-blocks.ts';
import type { ImageRows } from '../training/teacher-network.ts';
import { createPlaceTelling } from './block-places.ts';
import { createBlockStream, orderToken } from './block-stream.ts';
import { ofThisPlace } from './failure.ts';
import { createRowSharing } from './row-sharing.ts';
import { parseSpec } from './run-spec.ts';
import type { OwnServices, Services } from './services.ts';

export interface Session {
  readonly runId: string;
  readonly spec: RunSpec;
  /** What is trained. */
  readonly network: LayerGraph;
  /** Classes of the training data. */
  readonly classes: number;
  readonly loader: Loader;
  readonly batches: BatchSource;
  /** Of a search: those of the half of the alphas. */
  readonly alphaBatches: BatchSource | undefined;
  readonly schedule: Schedule;
  readonly procedure: Procedure;
  readonly teacher: TeacherFeed | undefined;
  readonly ledger: Ledger;
  /** The last stage up to which this worker has reported the checkpoints; 0 before the first. */
  reportedStage: number;
  /** Embeddings come from where an assignment says from now on. */
  follow(assign: Assign): void;
  /** Undefined until the gang, a checkpoint or the seed gives it. */
  replica: Replica | undefined;
  close(): Promise<void>;
}

export async function openSession(options: {
  readonly services: OwnServices;
  readonly assign: Assign;
  readonly onWaiting: (stage: number | undefined) => void;
  /** Where it keeps its teacher's embeddings; absent: where the students of this worker share them. */
  readonly blocks?: TeacherBlocks;
}): Promise<Session> {
  const { services, assign } = options;
  const spec = parseSpec(assign.specJson);
  const data = await acquireData(services, spec, assign.dataDigest);
  try {
    const { trainingImages, classes } = data.loader.facts;
    const network = trainedNetwork(spec, classes);
    const samplings = samplingsOf(spec, trainingImages);
    const { schedule } = samplings.own;
    const { runId } = assign;
    await lookAtHalves(services, runId, spec, data.loader);
    // Students wait for a teacher's stages.
    const compute = spec.kind === 'teacher' ? services.compute.ranked('first') : services.compute;
    const procedure = chooseProcedure({ runId, spec, network, classes, schedule, compute });
    // Compiled here and not by the first step, for which a gang would wait with its members' sums in memory.
    for (const graph of procedure.graphs) await compute.compileGraph(graph);
    const broker = await services.broker;
    const teacher = teacherOf(options, { spec, schedule }, broker);
    return {
      runId,
      spec,
      network,
      classes,
      loader: data.loader,
      ...batchSources(spec, samplings, data.loader),
      schedule,
      procedure,
      teacher,
      ledger: createLedger(samplings),
      reportedStage: 0,
      replica: undefined,
      follow: createSharing({
        services,
        broker,
        runId,
        order: orderKeyOf({ ...spec, digest: assign.dataDigest }),
        spec,
        teacher,
      }),
      async close() {
        teacher?.close();
        procedure.dispose();
        await data.release();
      },
    };
  } catch (caught) {
    await data.release();
    throw caught;
  }
}

/**
 * A data set that was in order at submit and is not here fails because of this place: a mount is empty, a
 * folder is away.
 */
export async function acquireData(services: Services, { data }: RunSpec, digest: string | undefined) {
  try {
    return await services.datasets.acquire({ data, digest });
  } catch (caught) {
    throw ofThisPlace(toFleetError(caught), 'the data set is not here as it was at submit');
  }
}

/**
 * The state that storage or the seed gives, for a gang in which no member has one. `onStage` is called with the stage,
 * 0 for the seed.
 */
export async function loadReplica(
  services: Services,
  session: Session,
  signal: AbortSignal,
  onStage?: (stage: number) => void,
): Promise<Replica> {
  const { checkpoints } = await services.broker;
  const { runId, spec } = session;
  const stored = await checkpoints.newest(runId, spec.training.epochs, signal);
  onStage?.(stored?.stage ?? 0);
  if (stored === undefined) return firstReplica(session);
  return adoptStored(services, session, stored, `checkpoint ${stored.stage}`);
}

/** The replica with a state that was stored; `which` names the checkpoint in sentences. */
export function adoptStored(
  services: Services,
  { runId, procedure }: Session,
  stored: StateAtStep,
  which: string,
): Replica {
  const misfit = firstMisfit(procedure.stateShape, stored.vectors);
  if (misfit !== undefined)
    throw new FleetError(
      'dataLoss',
      `${which} of ${runId} has ${misfit.found} ${misfit.name}, the run has ${misfit.expected}`,
    );
  services.log.info({ run: runId, step: stored.step }, `continues from ${which}`);
  return procedure.adopt(stored);
}

/** The replica with which the seed begins the run. */
export async function firstReplica({ procedure }: Session): Promise<Replica> {
  const vectors = procedure.stateShape.map(({ name, length }) => ({ name, values: sharedFloats(length) }));
  await procedure.writeFirst(vectors);
  return procedure.adopt({ step: 0, vectors });
}

/** The batches of a run, and of a search those of each half. */
export function batchSources(
  { training, search }: RunSpec,
  { own, alphas }: Samplings,
  loader: Pick<Loader, 'batch'>,
): { readonly batches: BatchSource; readonly alphaBatches: BatchSource | undefined } {
  const base = { loader, schedule: own.schedule, training };
  if (search === undefined || alphas === undefined)
    return { batches: createBatchSource(base), alphaBatches: undefined };
  const { cropFrom, halves } = search;
  const half = (name: Half) => ({ half: name, seed: halves.seed });
  return {
    batches: createBatchSource({ ...base, part: { half: half('weights'), cropFrom } }),
    // As the published search has it: the half of the alphas sees its images as they are stored.
    alphaBatches: createBatchSource({
      ...base,
      schedule: alphas.schedule,
      part: { half: half('alphas'), flip: false },
    }),
  };
}

/** Refuses a set that a search cannot divide as its spec asks. */
async function lookAtHalves(
  { log }: Services,
  run: string,
  { search }: RunSpec,
  loader: Loader,
): Promise<void> {
  if (search === undefined) return;
  const { single } = await loader.halves(search.halves);
  const note = singlesNote(single);
  if (note !== undefined) log.warn({ run }, note);
}

/** What an assignment changes of how a student shares its teacher's embeddings. */
function createSharing(of: {
  readonly services: Services;
  readonly broker: Awaited<Services['broker']>;
  readonly runId: string;
  readonly spec: RunSpec;
  readonly order: string;
  readonly teacher: TeacherFeed | undefined;
}): (assign: Assign) => void {
  const { services, broker, runId, spec, order, teacher } = of;
  let poolRunId: string | undefined;
  return ({ embeddingRunId, imageRowsBytes }) => {
    teacher?.keepRows(imageRowsBytes);
    if (embeddingRunId === poolRunId || spec.distillation?.share === 'own') return;
    poolRunId = embeddingRunId;
    teacher?.shareThrough(
      poolRunId === undefined ? undefined : openSupply(services, broker, { runId, spec, order, poolRunId }),
    );
  };
}

/** The stream of embeddings as a run of this spec uses it. */
export function openSupply(
  services: Services,
  { control, names }: Awaited<Services['broker']>,
  run: {
    readonly runId: string;
    readonly spec: RunSpec;
    /** `orderKeyOf` */
    readonly order: string;
    readonly poolRunId: string | undefined;
  },
): BlockSupply {
  const { runId, spec, poolRunId } = run;
  const { clock, log, metrics } = services;
  const device = blockDevice(services, spec);
  const order = orderToken(run.order, device);
  return createBlockSupply({
    stream: createBlockStream({
      ...{ connection: control, names, runId, log, now: clock.monotonic },
      ...{ device, form: blockFormOf(spec.distillation) },
    }),
    onStep: createPlaceTelling({ connection: control, names, order, runId, now: clock.monotonic }),
    clock,
    poolRunId,
    onEvent(event, reason) {
      metrics.teacherBlocks.inc({ run: runId, event });
      if (reason !== undefined) log.warn({ run: runId }, `a block of embeddings is computed anew: ${reason}`);
    },
  });
}

/** What the bits of a block depend on beside its key, where equal bits are promised. */
export function blockDevice({ deviceClass, code }: Services, { training }: RunSpec): string {
  return training.exact ? `${deviceClass} ${code}` : 'any';
}

/** What a run takes from its teacher; undefined for one that has none. */
export function teacherOf(
  options: Parameters<typeof openSession>[0],
  { spec, schedule }: { readonly spec: RunSpec; readonly schedule: Schedule },
  broker: Awaited<Services['broker']>,
): TeacherFeed | undefined {
  const { services, assign } = options;
  if (spec.distillation === undefined) return undefined;
  if (assign.teacherRunId === '' || assign.teacherStages === 0)
    throw new FleetError('invalidArgument', 'the run distils, but the assignment names no teacher run');
  const { checkpoints } = broker;
  const { share } = spec.distillation;
  const isOwn = share === 'own';
  return createTeacherFeed({
    teacherRunId: assign.teacherRunId,
    taught: {
      schedule: spec.distillation.schedule,
      epochs: spec.training.epochs,
      teacherStages: assign.teacherStages,
    },
    strength: spec.distillation,
    batch: spec.training.batch / spec.training.shards,
    blocks: isOwn ? createTeacherBlocks() : (options.blocks ?? services.teacherBlocks),
    order: orderKeyOf({ ...spec, digest: assign.dataDigest }),
    form: blockFormOf(spec.distillation),
    begin: services.time.begin,
    onImages: (images, source) => services.metrics.teacherImages.inc({ run: assign.runId, source }, images),
    embedding: adapterWidth(spec.distillation) ?? spec.network.embedding,
    imageRows: imageRowsOf({ services, broker }, { ...spec, digest: assign.dataDigest }, schedule),
    // Of students that share its embeddings the others wait for them.
    compute: services.compute.ranked('first'),
    clock: services.clock,
    find: (stage, signal) => checkpoints.stage(assign.teacherRunId, stage, signal),
    exists: async (stage, signal) =>
      (await checkpoints.find(assign.teacherRunId, stage, signal)) !== undefined,
    digestOf: async (stage, signal) => {
      const manifest = await checkpoints.find(assign.teacherRunId, stage, signal);
      if (manifest !== undefined) return manifest.digest;
      throw new FleetError('notFound', `stage ${stage} of ${assign.teacherRunId} is not stored`);
    },
    onWaiting: options.onWaiting,
  });
}

/** What it takes to keep the embeddings of single images for a run of this spec. */
function imageRowsOf(
  { services, broker }: { readonly services: Services; readonly broker: Awaited<Services['broker']> },
  spec: RunSpec & DataOfRun,
  schedule: Schedule,
): ImageRows {
  const { teacherRows, rowProofs, log } = services;
  const { data, digest, training, distillation } = spec;
  const refused = new Set<string>();
  return {
    ...{ rows: teacherRows, proofs: rowProofs, data: dataKeyOf({ data, digest }) },
    device: blockDevice(services, spec),
    sharing: sharesOverFleet(distillation)
      ? createRowSharing({ connection: broker.control, names: broker.names, rows: teacherRows, log })
      : undefined,
    images: schedule.setImages ?? schedule.images,
    flips: training.flip ? 2 : 1,
    isAsked: distillation?.embed === 'by-image',
    samplesOf: (step, shard) =>
      shardSamples({ schedule, seed: orderOf(training), flip: training.flip, step, shard }),
    onRefused(reason) {
      if (refused.has(reason)) return;
      refused.add(reason);
      log.info(`embeddings are computed for each batch: ${reason}`);
    },
  };
}
