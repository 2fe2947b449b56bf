// How long runs took, by the accounts of those that are done, and how long others would take by that. A run takes
// the multiply-adds of its images at the pace of its device class, and beside them what any run takes there: to
// prepare, to wait, to store checkpoints and to be verified. Decides which runs another one is like.

import { addSeconds, type PhaseSeconds, totalSeconds } from '../../core/worker-time.ts';
import { isEmbedding } from '../model/orders.ts';
import { outlineOf } from '../model/outline.ts';
import { type EndedRun, isWhole, type RunState, runWith, type State, wholeRunWith } from '../model/state.ts';
import { rowAt } from '../model/table.ts';

/** What a run took. */
export interface MeasuredRun {
  readonly deviceClass: string;
  readonly kind: RunState['job']['kind'];
  /** Forward multiply-adds of an image, with what its teacher adds. */
  readonly multiplyAdds: number;
  /** The same over all of its images. */
  readonly work: number;
  /** Worker-seconds in steps, and beside them; `undefined` where the run is not done. */
  readonly compute: number;
  readonly beside: number | undefined;
}

/** What is asked about: so many runs of a kind, and their multiply-adds in all. */
export interface Load {
  readonly kind: RunState['job']['kind'];
  readonly runs: number;
  readonly work: number;
  /** Of an image, the mean over the runs. */
  readonly multiplyAdds: number;
}

/** A number that is not known exactly; `low` and `high` are what one of ten is beyond, where so much was measured. */
export interface Range {
  readonly low: number;
  readonly likely: number;
  readonly high: number;
}

/** Worker-seconds of a load on one device class. */
export interface LoadTime {
  readonly deviceClass: string;
  readonly seconds: Range;
  /** Runs that this was measured on. */
  readonly runs: number;
  /** How these are like the load: of its kind and size, of its size, or of neither. */
  readonly like: 'kind' | 'size' | 'none';
  /** They train now: what a run takes beside its steps is not known. */
  readonly isLive: boolean;
}

/** The newest runs that are looked at. */
const LOOKED_AT = 400;
/** Of a size are networks of at most so many times the multiply-adds, or as many times fewer. */
const SIZE = 2;
/**
 * A training step takes about three forward passes (forward, gradients of activations, gradients of weights); a
 * teacher's is one.
 */
const TEACHER_SHARE = 1 / 3;

/** Multiply-adds of an image in forward passes of the trained network, with those of a teacher. */
export const withTeacher = (own: number, teacher: number | undefined): number =>
  own + TEACHER_SHARE * (teacher ?? 0);

/**
 * The newest runs of a fleet that are done and whose time is known, and those whose speed is measured now. `open`: what
 * workers have reported of a run and the journal does not have yet, by the run's id; a fleet of some seconds has no
 * more.
 */
export function measuredRuns(
  state: State,
  speedOf: (runId: string, workerId: string) => number | undefined,
  open: ReadonlyMap<string, PhaseSeconds> = new Map(),
): MeasuredRun[] {
  const found: MeasuredRun[] = [];
  for (let number = state.numbers.run; number > Math.max(0, state.numbers.run - LOOKED_AT); number--) {
    const known = runWith(state, `run-${number}`);
    if (known === undefined) continue;
    // Its gang goes as fast as its students, and trains nothing.
    if (isWhole(known) && isEmbedding(known)) continue;
    if (known.state === 'done') {
      const { seconds = {} } = rowAt(state.time.runs, number) ?? {};
      found.push(...ofDone(state, known, addSeconds(seconds, open.get(known.id) ?? {})));
    } else if (isWhole(known)) found.push(...ofRunning(state, known, speedOf));
  }
  return found;
}

function ofDone(state: State, known: RunState | EndedRun, seconds: PhaseSeconds): MeasuredRun[] {
  const run = isWhole(known) ? known : outlineOf(state, known);
  const { deviceClass, finalStep = 0, job } = run;
  const { compute = 0, teacher_pass = 0, paused = 0, lost = 0 } = seconds;
  const inSteps = compute + teacher_pass;
  if (deviceClass === undefined || finalStep === 0 || inSteps <= 0) return [];
  const multiplyAdds = imageWork(state, run);
  const beside = totalSeconds(seconds) - inSteps - paused - lost;
  const work = multiplyAdds * finalStep * job.training.batch;
  return [{ deviceClass, kind: job.kind, multiplyAdds, work, compute: inSteps, beside }];
}

function ofRunning(
  state: State,
  run: RunState,
  speedOf: (runId: string, workerId: string) => number | undefined,
): MeasuredRun[] {
  const { deviceClass } = run;
  if (deviceClass === undefined) return [];
  return run.gang.flatMap(({ workerId }) => {
    const speed = speedOf(run.id, workerId);
    if (speed === undefined || !(speed > 0)) return [];
    const multiplyAdds = imageWork(state, run);
    const { kind } = run.job;
    return [{ deviceClass, kind, multiplyAdds, work: multiplyAdds, compute: 1 / speed, beside: undefined }];
  });
}

function imageWork(state: State, { costs, teacherRunId }: RunState): number {
  const teacher = teacherRunId === undefined ? undefined : wholeRunWith(state, teacherRunId);
  return withTeacher(costs.multiplyAdds, teacher?.costs.multiplyAdds);
}

/** What a load takes on each device class that was measured, by class. */
export function timesOf(measured: readonly MeasuredRun[], load: Load): LoadTime[] {
  const classes = [...new Set(measured.map(({ deviceClass }) => deviceClass))].sort();
  return classes.map((deviceClass) => timeOn(measured, load, deviceClass));
}

function timeOn(measured: readonly MeasuredRun[], load: Load, deviceClass: string): LoadTime {
  const all = measured.filter((run) => run.deviceClass === deviceClass);
  const done = all.filter(({ beside }) => beside !== undefined);
  const known = done.length > 0 ? done : all;
  const ofSize = known.filter(({ multiplyAdds: size }) => {
    const ratio = size / load.multiplyAdds;
    return ratio <= SIZE && ratio >= 1 / SIZE;
  });
  const ofKind = ofSize.filter(({ kind }) => kind === load.kind);
  const like = ofKind.length > 0 ? 'kind' : ofSize.length > 0 ? 'size' : 'none';
  const runs = { kind: ofKind, size: ofSize, none: known }[like];
  const sum = (of: (run: MeasuredRun) => number) => runs.reduce((total, run) => total + of(run), 0);
  const slowness = spread(
    runs.map((run) => run.compute / run.work),
    sum(({ compute }) => compute) / sum(({ work }) => work),
  );
  const beside = spread(
    runs.map((run) => run.beside ?? 0),
    sum((run) => run.beside ?? 0) / runs.length,
  );
  const seconds = (of: keyof Range) => load.work * slowness[of] + load.runs * beside[of];
  return {
    ...{ deviceClass, runs: runs.length, like, isLive: done.length === 0 },
    seconds: { low: seconds('low'), likely: seconds('likely'), high: seconds('high') },
  };
}

/** The mean between what one of ten is below and what one of ten is above. */
function spread(values: readonly number[], mean: number): Range {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.round(share * (sorted.length - 1))]!;
  return { low: Math.min(mean, at(0.1)), likely: mean, high: Math.max(mean, at(0.9)) };
}
