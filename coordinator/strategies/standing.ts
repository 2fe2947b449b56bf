// What a sweep looks for: the scores of a trial, and which of two trials is better. With several objectives the
// leaderboard has the order of the first one; which trials no other dominates is a question of its own.

import type { Costs } from '../../core/nn/space.ts';
import { bestFirst } from '../../core/search/best-first.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';

/** A trial as a leaderboard sees it. */
export interface Standing {
  /** By name; empty where there is no result. */
  readonly objectives: Readonly<Record<string, number>>;
  readonly costs: Pick<Costs, 'parameters' | 'mflops'>;
  /** Epochs, or the part of the images or channels, that its result was measured with; infinite for the full evaluation. */
  readonly amount: number;
  /** Its number in the sweep, from 1. */
  readonly number: number;
}

type Aims = Pick<SweepSpec, 'objectives'>;

type Objective = NonNullable<Aims['objectives']>[number];

/** One of the things that a sweep looks for. */
interface Aim {
  readonly name: Objective['name'];
  readonly direction: NonNullable<Objective['direction']>;
}

const ACCURACY_ALONE: readonly Aim[] = [{ name: 'accuracy', direction: 'maximise' }];

/** What a sweep looks for, the most important first. */
export function aimsOf({ objectives }: Aims): readonly Aim[] {
  return objectives?.map(({ name, direction = 'maximise' }) => ({ name, direction })) ?? ACCURACY_ALONE;
}

/** What a sweep looks for, with directions, in a form that is equal for equal ones in any order. */
export function aimsText(aims: Aims): string {
  const texts = aimsOf(aims).map(({ name, direction }) => `${direction} ${name}`);
  return texts.sort().join(', ');
}

/** In the order of the sweep's objectives, each so that more is better; undefined where there is no result. */
export function scoresOf(spec: Aims, trial: Omit<Standing, 'number' | 'amount'>): number[] | undefined {
  const { accuracy, latency = Number.NaN } = trial.objectives;
  if (accuracy === undefined || !Number.isFinite(accuracy)) return undefined;
  const { parameters, mflops } = trial.costs;
  // Nearly every sweep looks for accuracy alone, and a fold asks for each of its trials.
  if (spec.objectives === undefined) return [accuracy];
  const values = { accuracy, parameters, mflops, latency };
  const scores = aimsOf(spec).map(
    ({ name, direction }) => (direction === 'minimise' ? -1 : 1) * values[name],
  );
  return scores.every(Number.isFinite) ? scores : undefined;
}

/** Negative when `a` stands before `b` on the leaderboard; zero for the same trial alone. */
export function compareStandings(spec: Aims): (a: Standing, b: Standing) => number {
  // A result with more of the evaluation stands before any with less: the search chose which trials get more.
  return (a, b) =>
    a.amount === b.amount ? bestFirst(ranked(spec, a), ranked(spec, b)) : b.amount > a.amount ? 1 : -1;
}

const ranked = (spec: Aims, trial: Standing) => ({
  objective: scoresOf(spec, trial)?.[0],
  parameters: trial.costs.parameters,
  number: trial.number,
});
