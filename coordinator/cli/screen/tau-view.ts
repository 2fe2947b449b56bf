// How alike two sweeps rank the candidates that both have evaluated in full. A candidate is its genotype, whichever
// sweep has trained it, and its rank is that of its accuracy.

import { kendallTau, tauInterval } from '../../../core/search/kendall.ts';
import type { Sweep, Trial } from '../../../proto/gen/pocketfleet/v1/fleet.ts';
import { type Column, table } from './table.ts';

/** A sweep with its trials. */
export interface Ranking {
  readonly sweep: Pick<Sweep, 'id' | 'name'>;
  readonly trials: readonly Pick<Trial, 'state' | 'genotypeJson' | 'objective'>[];
}

/** Two rankings beside each other. */
export interface Agreement {
  readonly a: string;
  readonly b: string;
  /** Candidates that both have evaluated in full. */
  readonly candidates: number;
  /** Kendall's tau-b, -1 to 1, with its 95 % interval; NaN where there are too few candidates. */
  readonly tau: number;
  readonly low: number;
  readonly high: number;
}

/** Each pair of the rankings, in their order. */
export function agreementsOf(rankings: readonly Ranking[]): Agreement[] {
  const known = rankings.map(({ sweep, trials }) => ({ sweep, accuracies: accuraciesOf(trials) }));
  return known.flatMap((a, at) =>
    known.slice(at + 1).map((b): Agreement => {
      const both = [...a.accuracies.keys()].filter((genotype) => b.accuracies.has(genotype));
      const tau = kendallTau(
        both.map((genotype) => a.accuracies.get(genotype)!),
        both.map((genotype) => b.accuracies.get(genotype)!),
      );
      return { a: a.sweep.id, b: b.sweep.id, candidates: both.length, tau, ...tauInterval(tau, both.length) };
    }),
  );
}

function accuraciesOf(trials: Ranking['trials']): Map<string, number> {
  const done = trials.filter(({ state, objective }) => state === 'done' && Number.isFinite(objective));
  return new Map(done.map(({ genotypeJson, objective }) => [genotypeJson, objective]));
}

/** A line a pair, and what the numbers mean. */
export function tauText(
  rankings: readonly Ranking[],
  agreements: readonly Agreement[],
  columns?: number,
): string {
  const nameOf = (id: string) => {
    const { name } = rankings.find(({ sweep }) => sweep.id === id)!.sweep;
    return `${id} (${name})`;
  };
  const layout: Column<Agreement>[] = [
    { head: 'SWEEP', cell: ({ a }) => nameOf(a) },
    { head: 'AND', cell: ({ b }) => nameOf(b) },
    { head: 'CANDIDATES', align: 'right', cell: ({ candidates }) => String(candidates) },
    { head: 'TAU', align: 'right', cell: ({ tau }) => numberText(tau) },
    {
      head: '95 %',
      cell: ({ low, high }) => (Number.isNaN(low) ? '-' : `${numberText(low)} to ${numberText(high)}`),
    },
  ];
  const few = agreements.some(({ low }) => Number.isNaN(low));
  return [
    table(agreements, layout, columns),
    '',
    "Kendall's tau-b of the accuracies of candidates that both sweeps have evaluated in full: 1 is the same order, 0 none in common",
    ...(few ? ['an interval needs five candidates in common, and accuracies that differ'] : []),
  ].join('\n');
}

const numberText = (value: number): string => (Number.isNaN(value) ? '-' : value.toFixed(3));
