// What a worker reports that becomes a part of the journal: wire messages to domain types. Decides what is
// well-formed. JSON has no NaN, so a number that is none would be stored as null, and no coordinator could
// read the journal any more.

import { FleetError } from '../../core/errors.ts';
import { alphasOfText } from '../../core/nn/alphas-text.ts';
import { genotypeOfText } from '../../core/nn/genotype-code.ts';
import { ALPHA_COUNT } from '../../core/nn/supernet.ts';
import type { SearchFound } from '../../core/spec/search.ts';
import { foundText } from '../../core/text/printable.ts';
import { boundedText, token } from '../../core/text/wire-text.ts';
import {
  PHASE_FIELDS,
  type TimeEntry,
  type TimePhase,
  type TimeSlice,
  totalSeconds,
} from '../../core/worker-time.ts';
import type {
  Evaluation,
  Latency,
  TimeSpent,
  TimeEntry as WireEntry,
} from '../../proto/gen/pocketfleet/v1/fleet.ts';
import type {
  SearchFound as FoundMessage,
  StoredStep,
  WorkerReport,
} from '../../proto/gen/pocketfleet/v1/worker.ts';
import type { FailureCause, PausedReport, Report } from '../decisions/inputs.ts';
import { type EvaluationState, numberIn } from '../model/state.ts';

/** Reports that are journalled, or change what is. */
export type Journalled = Exclude<
  NonNullable<WorkerReport['kind']>,
  {
    $case:
      | 'hello'
      | 'heartbeat'
      | 'progress'
      | 'verifyResult'
      | 'replayResult'
      | 'inspectResult'
      | 'scoreResult';
  }
>;

/** The report in domain types; throws `invalidArgument` with the field that is wrong. */
export function reportOf(kind: Journalled): Report {
  switch (kind.$case) {
    case 'checkpointStored': {
      const { runId, stage, step, bytes, digest } = kind.value;
      const { weightsDigest, stateDigest, ledgerDigest, teacherDigest } = kind.value;
      const texts = { runId, digest, weightsDigest, stateDigest, ledgerDigest, teacherDigest };
      for (const [field, text] of Object.entries(texts))
        if (text !== undefined) token(`checkpoint_stored.${field}`, text);
      const measures = kind.value.evaluation && evaluationOf(kind.value.evaluation);
      const search = kind.value.search && foundOf(kind.value.search);
      return {
        kind: 'checkpointStored',
        ...{ runId, stage, digest },
        step: counted('checkpoint_stored.step', step),
        bytes: counted('checkpoint_stored.bytes', bytes),
        ...(weightsDigest === undefined ? {} : { weightsDigest }),
        ...(stateDigest === undefined ? {} : { stateDigest }),
        ...(ledgerDigest === undefined ? {} : { ledgerDigest }),
        ...(teacherDigest === undefined ? {} : { teacherDigest }),
        ...(measures === undefined ? {} : { evaluation: measures }),
        ...(search === undefined ? {} : { search }),
      };
    }
    case 'stagesMissing': {
      const { runId, generation, newest } = kind.value;
      return { kind: 'stagesMissing', runId, generation, newest };
    }
    case 'paused': {
      const { runId, generation, step, stored } = kind.value;
      return {
        kind: 'paused',
        ...{ runId, generation, step: counted('paused.step', step) },
        ...(stored === undefined ? {} : { stored: storedStepOf(stored) }),
      };
    }
    case 'finished': {
      const { runId, generation, step, weightsDigest, evaluation } = kind.value;
      const measures = evaluation && evaluationOf(evaluation);
      return {
        kind: 'finished',
        runId,
        generation,
        step: counted('finished.step', step),
        weightsDigest: token('finished.weights_digest', weightsDigest),
        ...(measures === undefined ? {} : { evaluation: measures }),
      };
    }
    case 'halted': {
      const { runId, generation, stage, step, weightsDigest, evaluation } = kind.value;
      const measures = evaluation && evaluationOf(evaluation);
      return {
        kind: 'halted',
        ...{ runId, generation, stage: counted('halted.stage', stage), step: counted('halted.step', step) },
        weightsDigest: token('halted.weights_digest', weightsDigest),
        ...(measures === undefined ? {} : { evaluation: measures }),
      };
    }
    case 'failed': {
      const { runId, generation, message, step, ofPlace = false, damaged } = kind.value;
      if (damaged !== undefined) token('failed.damaged.run_id', damaged.runId);
      const { tensor, value, bytesWanted } = kind.value;
      return {
        ...(tensor === undefined ? {} : { tensor: boundedText(tensor) }),
        ...(value === undefined ? {} : { value: String(value) }),
        ...(bytesWanted === undefined ? {} : { bytesWanted: counted('failed.bytes_wanted', bytesWanted) }),
        ...(damaged === undefined ? {} : { damaged: { runId: damaged.runId, stage: damaged.stage } }),
        kind: 'failed',
        runId,
        generation,
        cause: causeOf(kind.value.cause),
        ofPlace,
        message: boundedText(message),
        // A member without a state stands at -1.
        step: step === -1 ? step : counted('failed.step', step),
      };
    }
    case 'timeSpent':
      return { kind: 'timeSpent', slice: sliceOf(kind.value) };
    case 'draining':
      return { kind: 'draining' };
    case 'released':
      return { kind: 'released' };
  }
}

/** Runs and stages that a slice may name; a worker has a few. */
const ENTRIES_MAX = 10_000;

/** A slice of a timeline in domain types; throws `invalidArgument` with what does not add up. */
export function sliceOf(spent: TimeSpent): TimeSlice {
  const from = measured('time_spent.from', spent.from);
  const until = measured('time_spent.until', spent.until);
  if (spent.entries.length > ENTRIES_MAX)
    throw new FleetError('invalidArgument', `time_spent.entries: more than ${ENTRIES_MAX}`);
  const entries = spent.entries.map(entryOf);
  const total = entries.reduce((sum, { seconds }) => sum + totalSeconds(seconds), 0);
  // Seconds that were added up a million times are not exact.
  if (Math.abs(total - (until - from)) > Math.max(1e-3, 1e-6 * until))
    throw new FleetError(
      'invalidArgument',
      `time_spent.entries: ${total} s altogether, which must be the length of the slice, ${until - from} s`,
    );
  return { from, until, entries };
}

function entryOf({ runId, stage, seconds }: WireEntry): TimeEntry {
  if (runId !== '' && numberIn('run', runId) === undefined)
    throw new FleetError('invalidArgument', `time_spent.run_id: ${foundText(runId)} is no id of a run`);
  const known: { -readonly [K in TimePhase]?: number } = {};
  for (const [phase, field] of PHASE_FIELDS) {
    const value = measured(`time_spent.seconds.${phase}`, seconds?.[field] ?? 0);
    if (value > 0) known[phase] = value;
  }
  return { ...(runId === '' ? {} : { runId }), ...(stage === 0 ? {} : { stage }), seconds: known };
}

/** A count of steps or bytes, where it is one; throws `invalidArgument` otherwise. */
export function counted(field: string, value: number): number {
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new FleetError('invalidArgument', `${field}: expected a whole number from 0 on, found ${value}`);
}

function storedStepOf({ bytes, ...digests }: StoredStep): NonNullable<PausedReport['stored']> {
  for (const [field, text] of Object.entries(digests)) token(`paused.stored.${field}`, text);
  return { bytes: counted('paused.stored.bytes', bytes), ...digests };
}

/** A time or a speed, where it is one; throws `invalidArgument` otherwise. */
export function measured(field: string, value: number): number {
  if (Number.isFinite(value) && value >= 0) return value;
  throw new FleetError('invalidArgument', `${field}: expected a number from 0 on, found ${value}`);
}

function causeOf(text: string): FailureCause {
  if (text === 'infrastructure' || text === 'out_of_memory' || text === 'numeric' || text === 'user')
    return text;
  throw new FleetError('invalidArgument', `failed.cause: unknown cause ${foundText(text)}`);
}

/**
 * The evaluation as the state has it. What was not measured is NaN and left out; without the measures
 * themselves, as of a network that gives no numbers, there is no evaluation.
 */
function evaluationOf(evaluation: Evaluation): EvaluationState | undefined {
  const { accuracyUntrained, latency, ...measures } = evaluation;
  if (!Object.values(measures).every(Number.isFinite)) return undefined;
  return {
    ...measures,
    ...(Number.isFinite(accuracyUntrained) ? { accuracyUntrained } : {}),
    ...(latency === undefined ? {} : { latency: latencyOf(latency) }),
  };
}

/** What a stage of a search has found; `invalidArgument` where it is no genotype or no numbers. */
function foundOf({ genotype, trainingLoss, validationLoss, evaluation, alphas }: FoundMessage): SearchFound {
  genotypeOfText(genotype);
  const refuse = (field: string, value: number, what: string) => {
    throw new FleetError('invalidArgument', `checkpoint_stored.search.${field}: ${value} is no ${what}`);
  };
  const losses = { trainingLoss, validationLoss, 'evaluation.loss': evaluation?.loss };
  for (const [field, value] of Object.entries(losses))
    if (value !== undefined && !Number.isFinite(value)) refuse(field, value, 'loss');
  const { accuracy = 0 } = evaluation ?? {};
  if (!(accuracy >= 0 && accuracy <= 1)) refuse('evaluation.accuracy', accuracy, 'share of images');
  if (alphas !== undefined) alphasOfText(alphas, ALPHA_COUNT);
  return {
    ...{ genotype, trainingLoss },
    ...(validationLoss === undefined ? {} : { validationLoss }),
    ...(evaluation === undefined ? {} : { evaluation: { loss: evaluation.loss, accuracy } }),
    ...(alphas === undefined ? {} : { alphas }),
  };
}

function latencyOf({ milliseconds, deviceClass }: Latency): Latency {
  if (!Number.isFinite(milliseconds) || milliseconds <= 0)
    throw new FleetError('invalidArgument', `evaluation.latency: ${milliseconds} ms is no time`);
  return { milliseconds, deviceClass: token('evaluation.latency.device_class', deviceClass) };
}
