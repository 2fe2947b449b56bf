// What rank 0 does at the boundaries and the end of a run: it stores checkpoints that are missing, verifies
// the trained network, and reports both. Each part first looks for what an earlier rank 0 has done and does
// not repeat it.

import { type Checkpoint, foundOf } from '../../core/checkpoint/checkpoint.ts';
import type { Manifest } from '../../core/checkpoint/store.ts';
import type { Loader } from '../../core/data/loading/loader.ts';
import { FleetError } from '../../core/errors.ts';
import { CHECKPOINT_PREPROCESSING } from '../../core/model/preprocessing.ts';
import { initialRunning, initialWeights } from '../../core/nn/init.ts';
import { layoutOf } from '../../core/nn/layout.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import { epochOfStep, stepsAtStage } from '../../core/spec/schedule.ts';
import type { SearchFound } from '../../core/spec/search.ts';
import type { StateVectors } from '../../core/state-vectors.ts';
import { verificationPairs } from '../../core/verify/pairs.ts';
import type { Evaluation, EvaluationReport, Latency } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import type { Membership } from '../training/procedure.ts';
import { type Replica, sgdVectors } from '../training/replica.ts';
import { type Embedder, embedderOf, evaluate, type NetworkState } from '../verification/evaluate.ts';
import type { Services } from './services.ts';
import type { Session } from './session.ts';

export interface FinishContext {
  readonly services: Services;
  readonly session: Session;
  readonly generation: number;
  /** Stages at whose ends the network is verified while the run goes on. */
  readonly evaluateStages: readonly number[];
  readonly signal: AbortSignal;
}

/** A checkpoint waits so long at most for the points of its steps, milliseconds. */
const POINTS_WAIT_MS = 5000;

/** What is stored of a stage: the whole state at its end, and of a search what it stands for. */
interface StageContent {
  readonly vectors: StateVectors;
  readonly found?: SearchFound | undefined;
}

/**
 * What rank 0 stores of the stage that ends with the replica, and undefined elsewhere. All members call it at the same
 * step, and compute together what takes computing.
 */
export async function contentOf(
  { alphaBatches }: Pick<Session, 'alphaBatches'>,
  membership: Membership,
  at: { readonly stage: number; readonly replica: Replica },
): Promise<StageContent | undefined> {
  const [vectors, found] = await Promise.all([
    membership.gatherState(at.replica),
    alphaBatches && membership.found?.(at.stage, at.replica, alphaBatches),
  ]);
  return vectors && { vectors, found };
}

/**
 * Stores the checkpoint of `stage`, at whose end the replica stands, and reports it. The points of the steps are stored
 * before it, because who goes on from it does not make them again.
 */
export async function storeStage(
  context: FinishContext,
  stage: number,
  content: StageContent,
): Promise<void> {
  const { services, session, signal } = context;
  const { replica, runId, schedule } = session;
  if (replica?.step !== stepsAtStage(schedule, stage))
    throw new Error(`assertion: step ${replica?.step} is not the end of stage ${stage}`);
  await storePoints(context);
  const { checkpoints } = await services.broker;
  const learnedFrom = async () => (await checkpoints.find(runId, stage, signal))?.metadata.teacher_digest;
  const checkpoint = await checkpointOf(context, stage, content, learnedFrom);
  const manifest = await checkpoints.save(runId, checkpoint, signal);
  // An earlier rank 0 may have died while the coordinator was away, and its reports with it.
  for (let earlier = session.reportedStage + 1; earlier < stage; earlier++) {
    const stored = await checkpoints.find(runId, earlier, signal);
    if (stored !== undefined) reportStored(context, earlier, stored, await evaluationAt(context, earlier));
  }
  reportStored(context, stage, manifest, await evaluationAt(context, stage));
  session.reportedStage = stage;
}

/** The measures of a stage that is stored, where it is one of those at which the run is verified on its way. */
async function evaluationAt(context: FinishContext, stage: number): Promise<Evaluation | undefined> {
  const { services, session, evaluateStages, signal } = context;
  if (!evaluateStages.includes(stage)) return undefined;
  const { replica, runId, schedule } = session;
  if (replica?.step === stepsAtStage(schedule, stage))
    return (await evaluateSession(context, sgdVectors(replica))).evaluation;
  const { checkpoints } = await services.broker;
  const stored = await checkpoints.load(runId, stage, signal);
  return (await evaluateSession(context, sgdVectors(stored))).evaluation;
}

/** Stores the points of the committed steps, before the checkpoint from which somebody goes on. */
async function storePoints({ services, session, signal }: FinishContext): Promise<void> {
  const { records } = await services.broker;
  if (!(await records.flush(POINTS_WAIT_MS, signal)) && !signal.aborted)
    services.log.warn(
      { run: session.runId, step: session.replica?.step },
      'the broker has not taken the newest points of the history yet; the checkpoint is stored without them',
    );
}

/** Stores the state after a step within a stage. `vectors`: the whole state. */
export async function storeStep(
  context: FinishContext,
  step: number,
  vectors: StateVectors,
): Promise<Manifest> {
  const { services, session, signal } = context;
  const { checkpoints } = await services.broker;
  await storePoints(context);
  const stage = epochOfStep(session.schedule, step);
  const teacherDigest = await session.teacher?.digestFor(stage, signal);
  const checkpoint = {
    ...factsOfSession(context, vectors),
    ...{ step, stage, epoch: stage },
    ledgerDigest: await session.ledger.digestAtStep(step, ledgerStored(context)),
    ...(teacherDigest === undefined ? {} : { teacherDigest }),
  };
  return checkpoints.saveStep(session.runId, checkpoint, signal);
}

/** The ledger's digest that is stored with a stage. */
const ledgerStored =
  ({ services, session, signal }: Pick<FinishContext, 'services' | 'session' | 'signal'>) =>
  async (stage: number): Promise<string | undefined> => {
    const { checkpoints } = await services.broker;
    return (await checkpoints.find(session.runId, stage, signal))?.metadata.ledger_digest;
  };

/** What every checkpoint of a run has. */
function factsOfSession(
  { services, session }: Pick<FinishContext, 'services' | 'session'>,
  vectors: StateVectors,
) {
  return {
    vectors,
    backboneCount: session.procedure.backboneCount,
    spec: session.spec,
    network: session.network.spec,
    preprocessing: CHECKPOINT_PREPROCESSING,
    deviceClass: services.deviceClass,
    ...(session.loader.labelMap === undefined ? {} : { labelMap: session.loader.labelMap }),
  };
}

/**
 * The checkpoint of a stage. `learnedFrom`: the digest of the teacher's that it was stored with before, where that
 * counts.
 */
export async function checkpointOf(
  context: Pick<FinishContext, 'services' | 'session' | 'signal'>,
  stage: number,
  { vectors, found }: StageContent,
  learnedFrom?: () => Promise<string | undefined>,
): Promise<Checkpoint & { readonly backboneCount: number }> {
  const { session, signal } = context;
  const teacherDigest = await session.teacher?.digestFor(stage - 1, signal, learnedFrom);
  return {
    ...factsOfSession(context, vectors),
    step: stepsAtStage(session.schedule, stage),
    epoch: stage,
    stage,
    ledgerDigest: await session.ledger.digestAfter(stage, ledgerStored(context)),
    ...(found === undefined ? {} : { found }),
    ...(teacherDigest === undefined ? {} : { teacherDigest }),
  };
}

/** Reports what is stored, which another rank 0 may have written. The coordinator counts each stage once. */
function reportStored(
  { services, session, generation }: FinishContext,
  stage: number,
  manifest: Manifest,
  evaluation: Evaluation | undefined,
): void {
  const { bytes, digest, metadata } = manifest;
  services.report({
    $case: 'checkpointStored',
    value: {
      runId: session.runId,
      generation,
      stage,
      step: stepsAtStage(session.schedule, stage),
      bytes,
      digest,
      weightsDigest: metadata.weights_digest,
      stateDigest: metadata.state_digest,
      ledgerDigest: metadata.ledger_digest,
      teacherDigest: metadata.teacher_digest,
      evaluation,
      search: foundOf(metadata),
    },
  });
}

/**
 * Verifies the trained network and reports the end; the last stage is stored by now. A search network gives no
 * embeddings, and what it has found is reported with its stages.
 */
export async function finishRun(context: FinishContext): Promise<void> {
  const { services, session, generation } = context;
  const { replica, runId } = session;
  if (!replica) throw new Error('assertion: a run without state cannot be finished');
  const evaluation = session.spec.search === undefined ? await finalEvaluation(context, replica) : undefined;
  services.report({
    $case: 'finished',
    value: {
      runId,
      generation,
      step: replica.step,
      weightsDigest: await storedDigest(context, session.schedule.epochs),
      evaluation,
    },
  });
}

/** The measures of the trained network, which an earlier rank 0 may have taken. */
async function finalEvaluation(context: FinishContext, replica: Replica): Promise<Evaluation | undefined> {
  const { services, session, signal } = context;
  const { runId } = session;
  const { checkpoints } = await services.broker;
  let report = await checkpoints.findEvaluation(runId, signal);
  if (report === undefined) {
    report = await evaluateSession(context, sgdVectors(replica));
    await checkpoints.saveEvaluation(runId, report, signal);
  }
  return report.evaluation;
}

/** Verifies the network at the end of the stage at which the run halts, which is stored by now, and reports that. */
export async function haltRun(context: FinishContext, stage: number): Promise<void> {
  const { services, session, generation } = context;
  const { replica, runId } = session;
  if (!replica) throw new Error('assertion: a run without state cannot halt');
  const { evaluation } = await evaluateSession(context, sgdVectors(replica));
  services.report({
    $case: 'halted',
    value: {
      ...{ runId, generation, stage, step: replica.step },
      weightsDigest: await storedDigest(context, stage),
      evaluation,
    },
  });
}

/** Digest of all weights at the end of a stage, as its checkpoint has it. */
async function storedDigest({ services, session, signal }: FinishContext, stage: number): Promise<string> {
  const { runId } = session;
  const { checkpoints } = await services.broker;
  const last = await checkpoints.find(runId, stage, signal);
  const digest = last?.metadata.weights_digest;
  if (digest === undefined)
    throw new FleetError('dataLoss', `the checkpoint of stage ${stage} of ${runId} is gone`);
  return digest;
}

function evaluateSession(context: FinishContext, trained: NetworkState): Promise<EvaluationReport> {
  const { session, services, signal } = context;
  const { spec } = session;
  const backbone = layoutOf(session.network);
  // The untrained network is what the report compares with; a candidate has other candidates for that.
  const untrained =
    spec.kind === 'candidate'
      ? undefined
      : { weights: initialWeights(backbone, spec.training.seed), running: initialRunning(backbone) };
  return evaluateHeldOut({
    services,
    spec,
    loader: session.loader,
    backboneCount: backbone.backboneCount,
    trained,
    untrained,
    signal,
  });
}

/** Verifies on pairs of the run's held-out identities, as its spec asks. */
export async function evaluateHeldOut(options: {
  readonly services: Services;
  readonly spec: RunSpec;
  readonly loader: Loader;
  readonly backboneCount: number;
  readonly trained: NetworkState;
  readonly untrained: NetworkState | undefined;
  /** How its embeddings come about; absent: the network of the spec gives them. */
  readonly embedder?: Embedder;
  readonly signal: AbortSignal;
}): Promise<EvaluationReport> {
  const { services, spec, loader, backboneCount, signal, embedder = embedderOf(spec.network) } = options;
  const labels = await loader.heldOutLabels();
  const backbone = (state: NetworkState): NetworkState => {
    if (state.weights.length < backboneCount)
      throw new FleetError('dataLoss', `${state.weights.length} weights where ${backboneCount} are needed`);
    return { weights: state.weights.subarray(0, backboneCount), running: state.running };
  };
  const startedAt = services.clock.monotonic();
  const report = await evaluate(
    {
      compute: services.compute,
      network: embedder,
      images: { size: labels.length, read: (from, count) => loader.heldOutImages(from, count) },
      pairs: verificationPairs(labels, spec.verification),
      people: labels,
      folds: spec.verification.folds,
      signal,
    },
    backbone(options.trained),
    options.untrained && backbone(options.untrained),
  );
  const latency = spec.verification.latency ? await latencyOf(options, backbone(options.trained)) : undefined;
  services.metrics.evaluationDuration.observe((services.clock.monotonic() - startedAt) / 1000);
  if (report.evaluation === undefined || latency === undefined) return report;
  return { ...report, evaluation: { ...report.evaluation, latency } };
}

/** How long the network takes here for the first held-out image. */
async function latencyOf(
  { services, spec, loader }: Pick<Parameters<typeof evaluateHeldOut>[0], 'services' | 'spec' | 'loader'>,
  { weights, running }: NetworkState,
): Promise<Latency> {
  const image = await loader.heldOutImages(0, 1);
  const request = { network: spec.network, weights, running, image };
  const milliseconds = await services.compute.measureLatency(request);
  return { milliseconds, deviceClass: services.deviceClass };
}
