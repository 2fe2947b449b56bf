// What a progress display shows, as a pure function of a snapshot: one item for each sweep and for each run
// outside of a sweep, with how much is done, how fast it goes, and how long it will take. Decides from when
// an estimate is shown.

import type { Run, Snapshot, Sweep } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { stateText } from '../text/state-text.ts';
import { clip, formatCount, formatNumber, formatPercent, formatSeconds, formatSteps } from './format.ts';
import { searchFoundText } from './runs.ts';

/** One sweep or run of the display. */
export interface ProgressItem {
  /** Id of the sweep or run. */
  readonly key: string;
  readonly label: string;
  /** The part that is done, 0 to 1. */
  readonly fraction: number;
  /** Rate, remaining time and loss, or the reason why it waits. */
  readonly note: string;
  readonly ended: boolean;
}

/** The items of a snapshot: its sweeps, then its runs outside of sweeps. */
export function progressItems(snapshot: Snapshot): ProgressItem[] {
  const sweeps = snapshot.sweeps.map((sweep) => sweepItem(sweep, snapshot));
  const runs = snapshot.runs.filter((run) => run.sweepId === '').map((run) => runItem(run, snapshot.runs));
  return [...sweeps, ...runs];
}

/** True when everything that the snapshot selects has ended. */
export function isFinished(snapshot: Snapshot): boolean {
  const all = [...snapshot.plans, ...snapshot.sweeps, ...snapshot.runs];
  return all.length > 0 && all.every((one) => hasEnded(one.state));
}

/** Whether a sweep or run in this state will change no more. */
export function hasEnded(state: string): boolean {
  return state === 'done' || state === 'failed' || state === 'cancelled';
}

/** Counts a running trial by its steps, so that the bar moves before the first trial is done. */
function sweepItem(sweep: Sweep, snapshot: Snapshot): ProgressItem {
  const ended = hasEnded(sweep.state);
  const active = snapshot.runs.filter((run) => run.sweepId === sweep.id && !hasEnded(run.state));
  const finished = sweep.trialsDone + sweep.trialsFailed;
  const partly = active.reduce((sum, run) => sum + stepFraction(run), 0);
  const fraction = sweep.trialsTotal === 0 ? 0 : Math.min(1, (finished + partly) / sweep.trialsTotal);
  const label = `search ${sweep.name}`;
  const count = `${finished}/${sweep.trialsTotal} candidates`;
  const failed = sweep.trialsFailed > 0 ? `, ${sweep.trialsFailed} failed` : '';
  const best = sweep.bestTrialId === '' ? '' : `, best ${formatPercent(sweep.bestObjective)}`;
  if (ended) {
    const took = formatSeconds((sweep.endedAtMs - sweep.createdAtMs) / 1000);
    const note =
      sweep.state === 'done'
        ? `${count}${failed}${best}, took ${took}`
        : stateText(sweep.state, sweep.reason);
    return { key: sweep.id, label, fraction: sweep.state === 'done' ? 1 : fraction, note, ended };
  }
  const elapsed = (snapshot.atMs - sweep.createdAtMs) / 1000;
  // Below 2 % an estimate depends more on start-up than on the work.
  const left = fraction > 0.02 ? `, ${formatSeconds((elapsed * (1 - fraction)) / fraction)} left` : '';
  const rate = active.reduce((sum, run) => sum + finite(run.imagesPerSecond), 0);
  return {
    key: sweep.id,
    label,
    fraction,
    note: `${count}${failed}${rateText(rate)}${left}${best}${sweep.waitsFor === '' ? '' : `; ${sweep.waitsFor}`}`,
    ended,
  };
}

function runItem(run: Run, runs: readonly Run[]): ProgressItem {
  const item = { key: run.id, label: `${run.kind} ${run.name}`, ended: hasEnded(run.state) };
  const workers = run.workerIds.length;
  switch (run.state) {
    case 'done': {
      const verified = run.evaluation ? `, verified ${formatPercent(run.evaluation.accuracy)}` : '';
      const found = run.found ? `, ${searchFoundText(run.found)}` : '';
      const took = formatSeconds((run.endedAtMs - run.startedAtMs) / 1000);
      return {
        ...item,
        fraction: 1,
        note: `${formatCount(run.step)} steps${verified}${found}, took ${took}`,
      };
    }
    case 'failed':
    case 'cancelled':
      return { ...item, fraction: stepFraction(run), note: stateText(run.state, run.reason) };
    case 'pausing':
    case 'paused':
    case 'queued':
      return {
        ...item,
        fraction: stepFraction(run),
        note: stateText(run.state, run.reason),
      };
    case 'waiting': {
      const teacher = runs.find((other) => other.id === run.teacherRunId);
      const whom = teacher === undefined ? 'its teacher' : teacher.name;
      return {
        ...item,
        fraction: stepFraction(run),
        note: run.reason === '' ? `waits for a checkpoint of ${whom}` : run.reason,
      };
    }
    default: {
      const left = run.remainingSeconds > 0 ? `, ${formatSeconds(run.remainingSeconds)} left` : '';
      const loss = run.step > 0 ? `, loss ${formatNumber(run.loss)}` : '';
      const found = run.found ? `, ${searchFoundText(run.found)}` : '';
      return {
        ...item,
        fraction: stepFraction(run),
        note: `step ${formatSteps(run)}${rateText(run.imagesPerSecond)}${left}${loss}${found}, ${workers} worker${workers === 1 ? '' : 's'}`,
      };
    }
  }
}

function rateText(imagesPerSecond: number): string {
  return imagesPerSecond > 0 ? `, ${formatNumber(imagesPerSecond, 0)} img/s` : '';
}

function stepFraction(run: Run): number {
  return run.stepsTotal > 0 ? Math.min(1, (run.step + run.openRoundSteps) / run.stepsTotal) : 0;
}

const finite = (value: number): number => (Number.isFinite(value) ? value : 0);

/** One item as one line, for logs and pipes. */
export function progressLine(item: ProgressItem, width: number): string {
  return clip(`${item.label.padEnd(26)} ${formatPercent(item.fraction, 0).padStart(5)}  ${item.note}`, width);
}
