// Replays on request: a worker computes steps of a run once more, and the caller compares. Decides which
// workers may do that (those of the device class that computed the run, because others give other bits),
// which stages and steps can be replayed, and where the next worker goes on when one is lost: at the last finished
// stage, so that the caller gets each step once.

import { FleetError } from '../../core/errors.ts';
import { canonicalJson } from '../../core/spec/canonical-json.ts';
import { isDeterministic } from '../../core/system/device-class.ts';
import { stateClaim } from '../../core/text/state-text.ts';
import type { ReplayPoint, ReplayRequest } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { missingStage, stagesText } from '../decisions/retaining.ts';
import { optional } from '../model/folding.ts';
import type { SpecifiedRun } from '../model/spec-of.ts';
import { type State, storedStep, type WorkerState, wholeRunWith } from '../model/state.ts';
import type { Requests } from './requests.ts';

/** Replays for callers of the service. */
export interface Replayer {
  /**
   * Points in the order of steps, as they are computed. Refused with `failedPrecondition` where a replay
   * would prove nothing.
   */
  replay(
    run: SpecifiedRun,
    request: Omit<ReplayRequest, 'runId'>,
    signal: AbortSignal,
  ): AsyncGenerator<ReplayPoint>;
  /**
   * Computes a stage again from the nearest stage before it that is whole, and has it stored where what is stored
   * of it is damaged. Resolves with where it began; the error says why it cannot be.
   */
  mend(run: SpecifiedRun, stage: number, signal: AbortSignal): Promise<{ readonly fromStage: number }>;
  /** Takes a part of a worker's answer; what nobody waits for any more is dropped. */
  answered(
    requestId: string,
    result: { points: readonly ReplayPoint[]; ended: boolean; error: string },
  ): void;
}

/** Replays go through these requests. */
export function createReplayer(options: {
  readonly requests: Requests;
  readonly state: () => State;
}): Replayer {
  const { requests, state } = options;
  const replays = requests.kind<ReplayPoint>({
    lost: (workerId) => `${workerId} was lost over the replay`,
    tooSlow: 'the caller reads more slowly than steps are replayed',
  });
  async function* compute(
    run: SpecifiedRun,
    range: Range,
    how: { readonly eachStep: boolean; readonly mend: boolean },
    signal: AbortSignal,
  ): AsyncGenerator<ReplayPoint> {
    const reached = { step: -1, stage: range.fromStage };
    const points = replays.ask({
      choose: (free) => chooseWorker(run, free),
      command: () => ({
        ...commandOf(state(), run, how),
        ...range,
        fromStage: Math.max(range.fromStage, startBefore(run, reached.stage)),
      }),
      signal,
      gaveUp: (workerIds, last) =>
        new FleetError('aborted', `${workerIds.join(', ')} were lost over the replay of ${run.id}`, {
          cause: last,
        }),
    });
    for await (const point of points) {
      // Another worker begins with the last finished stage that is whole; the caller has seen the steps since.
      if (point.step <= reached.step) continue;
      reached.step = point.step;
      if (point.stage > 0) reached.stage = point.stage;
      yield point;
    }
  }

  return {
    async *replay(run, request, signal) {
      const range = rangeOf(state(), run, request);
      yield* compute(run, range, { eachStep: request.eachStep, mend: false }, signal);
    },
    async mend(run, stage, signal) {
      const fromStage = startBefore(run, stage - 1);
      const range = rangeOf(state(), run, { fromStage, toStage: stage, steps: [] });
      for await (const _ of compute(run, range, { eachStep: false, mend: true }, signal));
      return { fromStage };
    },
    answered: (requestId, { points, ended, error }) =>
      replays.answered(requestId, { items: points, ended, error }),
  };
}

/** The first of the run's device class; the others compute other bits. */
function chooseWorker(run: SpecifiedRun, free: readonly WorkerState[]): WorkerState {
  if (run.deviceClass !== undefined && !isDeterministic(run.deviceClass))
    throw new FleetError(
      'failedPrecondition',
      `${run.id} was computed on ${run.deviceClass}, which gives other bits each time; a replay proves something on devices whose class has deterministic=1`,
    );
  const chosen = free.find((worker) => worker.deviceClass === run.deviceClass);
  if (chosen !== undefined) return chosen;
  const classes = [...new Set(free.map((worker) => worker.deviceClass))].sort().join(', ');
  const only = `${run.id} was computed on ${run.deviceClass} and only that device class gives the same bits`;
  if (classes === '')
    throw new FleetError('unavailable', `${only}; no worker is connected, start one and try again`, {
      details: { missing: 'worker' },
    });
  throw new FleetError('failedPrecondition', `${only}; the connected workers are ${classes}`, {
    details: { missing: 'worker' },
  });
}

/** The newest stage up to `stage` from which steps can be computed; 0: the seed. */
function startBefore(run: Pick<SpecifiedRun, 'checkpoints'>, stage: number): number {
  return startsOf(run).findLast((start) => start <= stage) ?? 0;
}

/** Stages from which steps can be computed: all of the state is stored and whole. */
function startsOf({ checkpoints }: Pick<SpecifiedRun, 'checkpoints'>): number[] {
  return checkpoints
    .filter(({ held, damage }) => held === undefined && damage === undefined)
    .map(({ stage }) => stage);
}

/** What is computed: from the checkpoint of a stage up to another, or to the last of the steps where that is later. */
interface Range {
  readonly fromStage: number;
  readonly toStage: number;
  /** Committed steps within stages that are compared too. */
  readonly steps: readonly number[];
}

/** The stages to compute, from the checkpoint of the first one; `toStage` 0: up to the newest stage that is stored. */
function rangeOf(state: State, run: SpecifiedRun, { fromStage, toStage, steps }: Range): Range {
  const newest = run.checkpoints.at(-1)?.stage ?? 0;
  const refuse = (why: string) => new FleetError('failedPrecondition', `${run.id} ${why}`);
  if (run.job.imported !== undefined)
    throw refuse(`gets its stages from files (${run.job.imported.from}): there is nothing to compute again`);
  if (!run.job.training.exact) throw refuse('was not promised exact bits (training.exact: false)');
  const reached = storedStep(run);
  if (reached === 0) throw refuse(`has no checkpoint yet; it ${stateClaim(run.state)}`);
  const to = toStage === 0 ? newest : toStage;
  if (to > newest) throw refuse(`has checkpoints up to stage ${newest}, not ${to}`);
  const unknown = steps.find((step) => !(Number.isSafeInteger(step) && step >= 1 && step <= reached));
  if (unknown !== undefined) throw refuse(`has stored steps up to ${reached}, and not step ${unknown}`);
  const end = run.checkpoints.find(({ stage }) => stage === to)?.step ?? 0;
  const isBeyond = steps.some((step) => step > end);
  if (fromStage > to || (fromStage === to && !isBeyond))
    throw refuse(`has nothing between stage ${fromStage} and stage ${to} to compute`);
  const starts = startsOf(run);
  const missingFrom = (start: number) =>
    missingOfTeacher(state, run, { fromStage: start, to: isBeyond ? to + 1 : to });
  const where = () =>
    startsText([0, ...starts].filter((start) => start < to && missingFrom(start) === undefined));
  if (fromStage > 0 && !starts.includes(fromStage))
    throw refuse(`cannot be computed from stage ${fromStage}, of which not everything is stored; ${where()}`);
  const missing = missingFrom(fromStage);
  if (missing !== undefined)
    throw refuse(`cannot be computed from stage ${fromStage}: ${missing}; ${where()}`);
  return { fromStage, toStage: to, steps };
}

/** The stages from which something can be computed, 0 for the seed. */
function startsText(starts: readonly number[]): string {
  if (starts.length === 0) return 'a replay can start nowhere now';
  const stages = starts.filter((stage) => stage > 0);
  const places = [
    ...(starts.includes(0) ? ['its seed (--from 0)'] : []),
    ...(stages.length === 0 ? [] : [stagesText(stages)]),
  ];
  return `a replay can start from ${places.join(' and from ')}`;
}

/** Why the teacher's stages that these stages learned from cannot be read; undefined while all can. */
function missingOfTeacher(
  state: State,
  run: SpecifiedRun,
  { fromStage, to }: { fromStage: number; to: number },
): string | undefined {
  const { distillation } = run.job;
  const teacher = run.teacherRunId === undefined ? undefined : wholeRunWith(state, run.teacherRunId);
  if (distillation === undefined || teacher === undefined) return undefined;
  return missingStage(teacher, { schedule: distillation.schedule, epochs: to, newest: fromStage });
}

function commandOf(state: State, run: SpecifiedRun, how: { eachStep: boolean; mend: boolean }) {
  return {
    kind: 'replay' as const,
    runId: run.id,
    specJson: canonicalJson(run.spec),
    eachStep: how.eachStep,
    teacherRunId: run.teacherRunId ?? '',
    teacherStages:
      run.teacherRunId === undefined ? 0 : (wholeRunWith(state, run.teacherRunId)?.job.training.epochs ?? 0),
    deviceClass: run.deviceClass ?? '',
    mend: how.mend,
    ...optional('dataDigest', run.facts.digest),
  };
}
