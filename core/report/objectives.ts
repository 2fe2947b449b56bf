// What a sweep looks for, as its tables, plots and fronts have it: the name of each objective, the direction in which
// it is better, its value of a candidate, and how that value is written. Decides the order "best first" of a table.

import type { Objective, Sweep, Trial } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { bestFirst } from '../search/best-first.ts';
import { formatCount, formatNumber, formatPercent } from './format.ts';

const ACCURACY: readonly Objective[] = [{ name: 'accuracy', direction: 'maximise' }];

/** What a sweep looks for, the most important first. */
export function objectivesOf({ objectives }: Pick<Sweep, 'objectives'>): readonly Objective[] {
  return objectives.length === 0 ? ACCURACY : objectives;
}

/** Objectives that every finished candidate has a value of, whatever its sweep looks for. */
export const ALWAYS_KNOWN = ['accuracy', 'parameters', 'mflops'] as const;

/** The usual direction of an objective: accuracy is better when it is more, and a cost when it is less. */
export const usualDirection = (name: string): string => (name === 'accuracy' ? 'maximise' : 'minimise');

/** The value of a candidate; NaN where it was not measured. */
export function measuredOf(trial: Trial, name: string): number {
  if (name === 'accuracy') return trial.objective;
  if (name === 'parameters') return trial.parameters;
  if (name === 'mflops') return trial.mflops;
  return trial.measured[name] ?? Number.NaN;
}

/** The value of a candidate such that more is better. */
export function scoreOf(trial: Trial, { name, direction }: Objective): number {
  const value = measuredOf(trial, name);
  return direction === 'minimise' ? -value : value;
}

/** A value as a person reads it. */
export function objectiveText(name: string, value: number): string {
  if (name === 'accuracy') return formatPercent(value, 2);
  if (name === 'latency') return `${formatNumber(value, 2)} ms`;
  return name === 'parameters' ? formatCount(value) : formatNumber(value, 2);
}

/** The order of the sweep's leaderboard; candidates without a result come last, by number. */
export function bestTrialFirst(sweep: Pick<Sweep, 'objectives'> | undefined): (a: Trial, b: Trial) => number {
  const [first] = sweep === undefined ? ACCURACY : objectivesOf(sweep);
  const ranked = (trial: Trial) => ({
    ...{ parameters: trial.parameters, number: trial.number },
    objective: Number.isFinite(trial.objective) ? scoreOf(trial, first!) : undefined,
  });
  return (a, b) => bestFirst(ranked(a), ranked(b));
}
