// Which trial of a sweep is better: the order of its leaderboard.

import type { Costs } from '../../core/nn/space.ts';
import { bestFirst } from '../../core/search/best-first.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';

/** A trial as a leaderboard sees it. */
export interface Standing {
  /** By name; empty where there is no result. */
  readonly objectives: Readonly<Record<string, number>>;
  readonly costs: Pick<Costs, 'parameters'>;
  /** Its number in the sweep, from 1. */
  readonly number: number;
}

/** Negative when `a` stands before `b` on the leaderboard; zero for the same trial alone. */
export function compareStandings(_spec: Pick<SweepSpec, 'objective'>): (a: Standing, b: Standing) => number {
  return (a, b) => bestFirst(ranked(a), ranked(b));
}

function ranked({ objectives, costs, number }: Standing) {
  return { objective: objectives.accuracy, parameters: costs.parameters, number };
}
