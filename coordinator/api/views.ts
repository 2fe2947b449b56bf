// The state as the wire shows it: pure functions from domain types to messages. Decides what a person sees
// where the state has no answer yet (NaN, 0, empty), and how long a text may be.

import { alphasOfText } from '../../core/nn/alphas-text.ts';
import { genotypeOfKey, genotypeOfText } from '../../core/nn/genotype-code.ts';
import { ALPHA_COUNT } from '../../core/nn/supernet.ts';
import { canonicalJson } from '../../core/spec/canonical-json.ts';
import { haltedAt, scheduleOf } from '../../core/spec/schedule.ts';
import type {
  Checkpoint,
  Evaluation,
  Plan,
  Run,
  StageFound,
  Store,
  Sweep,
  Trial,
  Worker,
} from '../../proto/gen/pocketfleet/v1/fleet.ts';
import type { DeviceDetails } from '../decisions/inputs.ts';
import { attemptOf, searchAttempts } from '../model/attempts.ts';
import { optional } from '../model/folding.ts';
import { shownState } from '../model/holds.ts';
import { latencyOf } from '../model/measured.ts';
import { accuracyAlone, outlineOf } from '../model/outline.ts';
import { lookup, type PersistentMap } from '../model/persistent-map.ts';
import { specOf } from '../model/spec-of.ts';
import {
  accuracyOf,
  type EndedRun,
  type EvaluationState,
  type FoundState,
  hasGang,
  isWhole,
  newestRunOf,
  numberOf,
  ownRunIdsOf,
  type PlanState,
  type RunState,
  runWith,
  type State,
  type SweepState,
  storedStep,
  type TrialState,
  trialOf,
  type WorkerState,
} from '../model/state.ts';
import { rowAt } from '../model/table.ts';
import type { Waits } from '../scheduling/waits.ts';
import type { StoreState } from '../store/store-state.ts';
import type { Cursor } from '../strategies/search.ts';
import { aimsOf } from '../strategies/standing.ts';
import type { ProgressBoard } from '../workers/progress-board.ts';
import { looksFor, scoringText, searchesText, searchWait } from './search-progress.ts';

/** What a view needs besides the thing itself. */
export interface ViewContext {
  readonly state: State;
  readonly progress: ProgressBoard;
  /** What queued runs wait for. */
  readonly waiting: Waits;
  readonly lastSeenMs: (workerId: string) => number | undefined;
  readonly deviceOf: (workerId: string) => DeviceDetails | undefined;
  /** Workers that have a stream. */
  readonly connected: PersistentMap<true>;
  readonly store: StoreView;
  /** How far the strategy of a sweep, by number, has looked since its last move, while it looks. */
  readonly looked: (sweepNumber: number) => Cursor | undefined;
}

/** Of a sentence or a word: a reason that a worker reports can be as long as its message. */
const TEXT_BYTES_MAX = 16 * 1024;
/**
 * Of a whole document. With all its other texts one item stays below 1 MiB, which the bound of a page relies
 * on.
 */
const DOCUMENT_BYTES_MAX = 512 * 1024;

/** The text, or its beginning and how much is left out. */
export function clipped(text: string, bytesMax: number = TEXT_BYTES_MAX): string {
  if (text.length * 3 <= bytesMax) return text;
  const bytes = Buffer.from(text);
  if (bytes.length <= bytesMax) return text;
  const kept = bytes
    .subarray(0, bytesMax)
    .toString('utf8')
    .replace(/\uFFFD+$/, '');
  return `${kept}… (${bytes.length - bytesMax} more bytes)`;
}

/** What is shown of the broker's store. */
export interface StoreView {
  readonly state: StoreState;
  /** Why this coordinator does not lead; empty while it does. */
  readonly halted: string;
  /** The journal itself cannot be written, so that nothing is decided. */
  readonly blocksDecisions: boolean;
}

/** The store's state, and why nothing is decided. */
export function storeView({ state, halted }: StoreView): Store {
  const { kind, ...facts } = state;
  return { state: kind, ...facts, halted };
}

/** The sentence about a run that waits for the broker's store; undefined when it does not wait for it. */
function storeReasonOf(context: ViewContext, run: RunState): string | undefined {
  const { state, halted, blocksDecisions } = context.store;
  if (run.state === 'queued' && halted !== '') return halted;
  if (run.state === 'queued' && blocksDecisions && state.kind !== 'ok')
    return `waits for the store: ${state.reason}`;
  const reported = hasGang(run) ? context.progress.storeWaitOf(run) : undefined;
  if (reported === undefined) return undefined;
  return `waits for the store: ${state.kind === 'ok' ? reported : state.reason}`;
}

/** A plan; its runs are a differentiable search, the teacher and the students, not the candidates of a sweep. */
export function planView(plan: PlanState): Plan {
  return {
    id: plan.id,
    name: plan.name,
    state: plan.state,
    reason: clipped(plan.reason),
    sweepId: plan.sweepId ?? '',
    runIds: ownRunIdsOf(plan),
    createdAtMs: plan.createdAtMs,
    endedAtMs: plan.endedAtMs ?? 0,
    winnerRunId: plan.winnerRunId ?? '',
    yaml: clipped(plan.yaml, DOCUMENT_BYTES_MAX),
  };
}

/** A sweep with its best trial so far; its spec only where it is asked for. */
export function sweepView(
  context: ViewContext,
  sweep: SweepState,
  shown: { readonly spec: boolean } = { spec: false },
): Sweep {
  const best = sweep.bestTrialId === undefined ? undefined : trialOf(context.state, sweep.bestTrialId);
  const waitsFor = searchWait(context.state, sweep)?.text ?? scoringText(sweep);
  const now = shownState(context.state, sweep);
  return {
    id: sweep.id,
    name: sweep.name,
    state: now.state,
    reason: clipped(
      waitsFor ??
        looksFor(sweep, context.looked(numberOf(sweep.id))) ??
        (now.state === 'running' ? searchesText(context.state, sweep) : undefined) ??
        now.reason,
    ),
    trialsTotal: sweep.trialsTotal,
    trialsDone: sweep.trialsDone,
    trialsFailed: sweep.trialsFailed,
    bestTrialId: best?.id ?? '',
    bestObjective: best?.objectives?.accuracy ?? Number.NaN,
    createdAtMs: sweep.createdAtMs,
    endedAtMs: sweep.endedAtMs ?? 0,
    strategy: sweep.spec.strategy.kind,
    planId: sweep.planId ?? '',
    waitsFor: waitsFor ?? '',
    objectives: aimsOf(sweep.spec).map((aim) => ({ ...aim })),
    specJson: shown.spec ? clipped(canonicalJson(sweep.spec), DOCUMENT_BYTES_MAX) : '',
  };
}

/** A trial with its newest run. */
export function trialView(state: State, trial: TrialState): Trial {
  const shown = shownState(state, trial);
  const { screened } = trial;
  return {
    id: trial.id,
    sweepId: trial.sweepId,
    number: trial.number,
    state: shown.state,
    reason: clipped(shown.reason),
    runId: newestRunOf(trial) ?? '',
    genotypeJson: trial.genotypeKey === '' ? '' : canonicalJson(genotypeOfKey(trial.genotypeKey)),
    ...trial.costs,
    objective: trial.objectives?.accuracy ?? Number.NaN,
    screening: screened && {
      ...screened,
      scores: Object.fromEntries(screened.scores.map((one) => [one.name, one.value])),
    },
    attempts: trial.runIds.length === 0 ? 0 : attemptOf(state, trial, trial.runIds.at(-1)!),
    searchAttempts: searchAttempts(state, trial),
    measured: { ...trial.objectives },
    measuredOn: clipped(trial.measuredOn ?? ''),
    reusedFrom: reusedFrom(state, trial.runIds.at(-1)),
  };
}

/** The run whose result a trial's newest run has taken; empty where it took none. */
function reusedFrom(state: State, runId: string | undefined): string {
  const run = runId === undefined ? undefined : runWith(state, runId);
  if (run === undefined) return '';
  return (isWhole(run) ? run.reused?.runId : run.reusedFrom) ?? '';
}

/**
 * A run: what the journal has of it, and how far it is by the newest report; its spec, which is most of the
 * work, only where it is asked for.
 */
export function runView(
  context: ViewContext,
  known: RunState | EndedRun,
  shown: { readonly spec: boolean },
): Run {
  const run = isWhole(known) ? known : outlineOf(context.state, known);
  const { facts } = run;
  const { kind, training } = run.job;
  const schedule = haltedAt(scheduleOf(training, facts.trainingImages), run.haltStage);
  const newest = context.progress.of(run.id);
  const point = newest?.point;
  const step = run.finalStep ?? Math.max(point?.step ?? 0, storedStep(run));
  const running = run.state === 'running';
  const rate = running ? (point?.imagesPerSecond ?? 0) : 0;
  // The open steps are those after the point; they mean nothing once a checkpoint has overtaken it.
  const openRoundSteps = running && point?.step === step ? (newest?.openRoundSteps ?? 0) : 0;
  const waits = running && (newest?.waitingForStage ?? 0) > 0;
  const storeReason = storeReasonOf(context, run);
  return {
    id: run.id,
    name: run.name,
    kind,
    state: waits || (running && storeReason !== undefined) ? 'waiting' : run.state,
    reason: clipped(
      storeReason ??
        (waits
          ? `waits for stage ${newest?.waitingForStage} of its teacher ${run.teacherRunId}`
          : ((run.state === 'queued' ? context.waiting.of(run.id)?.reason : undefined) ?? run.reason)),
    ),
    generation: run.generation,
    workerIds: run.gang.map((member) => member.workerId),
    step,
    stepsTotal: schedule.stepsTotal,
    epoch: step === 0 ? 0 : Math.min(training.epochs, (step * schedule.batch) / schedule.images),
    loss: point?.loss ?? Number.NaN,
    imagesPerSecond: rate,
    startedAtMs: run.startedAtMs ?? 0,
    endedAtMs: run.endedAtMs ?? 0,
    weightsDigest: run.weightsDigest ?? '',
    evaluation: evaluationOf(run),
    reusedFrom: run.reused?.runId ?? '',
    attempts:
      run.trialId === undefined
        ? run.attempt
        : attemptOf(context.state, trialOf(context.state, run.trialId), run.id),
    sweepId: run.sweepId ?? '',
    planId: run.planId ?? '',
    teacherRunId: run.teacherRunId ?? '',
    parameters: run.costs.parameters,
    mflops: run.costs.mflops,
    checkpoints: isWhole(known) ? known.checkpoints.length : known.stages,
    deviceClass: clipped(run.deviceClass ?? ''),
    specJson: shown.spec ? clipped(canonicalJson(specOf(context.state, run)), DOCUMENT_BYTES_MAX) : '',
    remainingSeconds: rate > 0 ? ((schedule.stepsTotal - step - openRoundSteps) * schedule.batch) / rate : 0,
    openRoundSteps,
    found: isWhole(known) ? foundView(known.checkpoints.at(-1)?.found, { alphas: false }) : undefined,
  };
}

/** What a stage of a search has found. */
function foundView(
  found: FoundState | undefined,
  shown: { readonly alphas: boolean },
): StageFound | undefined {
  if (found === undefined) return undefined;
  const { genotype, skips, changed, trainingLoss, validationLoss, evaluation } = found;
  const alphas =
    shown.alphas && found.alphas !== undefined ? [...alphasOfText(found.alphas, ALPHA_COUNT)] : [];
  const genotypeJson = canonicalJson(genotypeOfText(genotype));
  return { genotypeJson, skips, changedEdges: changed, trainingLoss, validationLoss, evaluation, alphas };
}

/** Its verification; of a result that was taken from a candidate the accuracy alone may be known. */
function evaluationOf(run: RunState): Evaluation | undefined {
  if (run.evaluation !== undefined) return evaluationView(run.evaluation);
  const accuracy = accuracyOf(run);
  if (accuracy === undefined) return undefined;
  return evaluationView({ ...accuracyAlone(accuracy), ...optional('latency', latencyOf(run)) });
}

function evaluationView(evaluation: EvaluationState): Evaluation {
  return { ...evaluation, accuracyUntrained: evaluation.accuracyUntrained ?? Number.NaN };
}

/** A worker with what it holds and its part of the rate. */
export function workerView(context: ViewContext, worker: WorkerState): Worker {
  const held = worker.runs.flatMap((number) => {
    const run = rowAt(context.state.runs, number);
    return run !== undefined && isWhole(run) ? [run] : [];
  });
  const device = context.deviceOf(worker.id);
  return {
    id: worker.id,
    state: worker.state === 'attached' ? (held.length > 0 ? 'busy' : 'idle') : worker.state,
    deviceClass: clipped(worker.deviceClass),
    slots: worker.slots,
    runIds: held.map((run) => run.id),
    lastSeenMs: context.lastSeenMs(worker.id) ?? worker.changedAtMs,
    imagesPerSecond: held.reduce((sum, run) => sum + shareOfRate(context, run, worker.id), 0),
    version: clipped(worker.version),
    host: clipped(worker.host),
    reason: clipped(worker.reason),
    pid: worker.pid,
    connected: lookup(context.connected, worker.id) === true,
    deviceName: clipped(device?.name ?? ''),
    memoryBytes: device?.memoryBytes ?? 0,
    gpu: device?.gpu,
    devices: [...(device?.devices ?? [])],
    metricsEndpoint: clipped(worker.metricsEndpoint),
  };
}

/** A worker's part of its gang's rate: that of its shards, because images are shared out by shards. */
function shareOfRate(context: ViewContext, run: RunState, workerId: string): number {
  const rate = context.progress.of(run.id)?.point.imagesPerSecond ?? 0;
  const shards = run.gang.find((member) => member.workerId === workerId)?.shardCount ?? 0;
  return (rate * shards) / run.job.training.shards;
}

/** The checkpoints of a run by stage. */
export function checkpointViews({ id: runId, checkpoints }: RunState): Checkpoint[] {
  return checkpoints.map(({ stage, step, bytes, digest, storedAtMs, held = 'all', kept, damage, found }) => ({
    ...{ runId, stage, step, bytes, digest, storedAtMs, held },
    found: foundView(found, { alphas: true }),
    note: damage?.reason ?? (kept === undefined ? '' : `kept: ${kept}`),
  }));
}
