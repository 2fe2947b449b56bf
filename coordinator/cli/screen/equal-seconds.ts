// Sweeps and searches by gradient beside each other, each at what it had found by the same number of worker-seconds.
// Decides which number that is, and what of each counts by then: candidates in the order of their numbers, as if one after
// the other had been evaluated, and a search by gradient when its cells have been trained as candidates are.

import { formatPercent, formatSeconds, UNKNOWN } from '../../../core/report/format.ts';
import { type Column, table } from './table.ts';

/** A result, and what had been spent when it was there. */
export interface SpentResult {
  /** The trial or run. */
  readonly of: string;
  /** Worker-seconds from the beginning up to this result. */
  readonly seconds: number;
  /** Verification accuracy, 0 to 1. */
  readonly accuracy: number;
}

/** What a sweep or a search has spent and found. */
export interface Spent {
  readonly id: string;
  /** What it is apart from its seed, such as `random` or `darts`. */
  readonly method: string;
  readonly seed: number;
  /** Worker-seconds of all of it. */
  readonly total: number;
  /** By seconds, ascending. */
  readonly results: readonly SpentResult[];
  /** Of a search by gradient, which has nothing before its end. */
  readonly isSearch: boolean;
  /** Why it has no result; empty where it has one. */
  readonly missing: string;
}

/** What one of them had found by then. */
interface Standing extends Spent {
  /** Results by then. */
  readonly count: number;
  /** The most accurate by then; undefined where there is none. */
  readonly best: SpentResult | undefined;
}

/** All of them at the same number of seconds. */
export interface EqualSeconds {
  readonly seconds: number;
  readonly standings: readonly Standing[];
  /** By method, in the order of the first of each: over its seeds. */
  readonly methods: readonly {
    readonly method: string;
    readonly seeds: number;
    /** Of the best accuracy; NaN where a seed has none. */
    readonly mean: number;
    /** Sample standard deviation over the seeds; NaN of one. */
    readonly spread: number;
  }[];
}

/**
 * What each had found by `seconds`. Without a number: the most that a search by gradient took, since it has nothing
 * before; without such a search the least that any of them took.
 */
export function atEqualSeconds(all: readonly Spent[], seconds?: number): EqualSeconds {
  const searches = all.filter(({ isSearch }) => isSearch).map(({ total }) => total);
  const by =
    seconds ?? (searches.length > 0 ? Math.max(...searches) : Math.min(...all.map(({ total }) => total)));
  const standings = all.map((one): Standing => {
    const within = one.results.filter((result) => result.seconds <= by);
    const best = within.reduce<SpentResult | undefined>(
      (most, next) => (most === undefined || next.accuracy > most.accuracy ? next : most),
      undefined,
    );
    return { ...one, count: within.length, best };
  });
  const methods = [...new Set(all.map(({ method }) => method))].map((method) => {
    const found = standings
      .filter((one) => one.method === method)
      .map(({ best }) => best?.accuracy ?? Number.NaN);
    const mean = found.reduce((sum, value) => sum + value, 0) / found.length;
    const squares = found.reduce((sum, value) => sum + (value - mean) ** 2, 0);
    const spread = found.length < 2 ? Number.NaN : Math.sqrt(squares / (found.length - 1));
    return { method, seeds: found.length, mean, spread };
  });
  return { seconds: by, standings, methods };
}

const shareText = (value: number): string => (Number.isFinite(value) ? formatPercent(value, 2) : UNKNOWN);

/** The standings, the methods over their seeds, and what the numbers mean. */
export function equalSecondsText({ seconds, standings, methods }: EqualSeconds, columns?: number): string {
  const layout: Column<Standing>[] = [
    { head: 'ID', cell: ({ id }) => id },
    { head: 'METHOD', cell: ({ method }) => method },
    { head: 'SEED', align: 'right', cell: ({ seed }) => String(seed) },
    { head: 'SPENT', align: 'right', cell: ({ total }) => formatSeconds(total) },
    { head: 'RESULTS BY THEN', align: 'right', cell: ({ count }) => String(count) },
    { head: 'BEST', align: 'right', cell: ({ best }) => shareText(best?.accuracy ?? Number.NaN) },
    { head: 'OF', cell: ({ best, missing }) => best?.of ?? (missing || 'nothing by then') },
  ];
  const over: Column<EqualSeconds['methods'][number]>[] = [
    { head: 'METHOD', cell: ({ method }) => method },
    { head: 'SEEDS', align: 'right', cell: (one) => String(one.seeds) },
    { head: 'MEAN OF BEST', align: 'right', cell: ({ mean }) => shareText(mean) },
    { head: 'SPREAD', align: 'right', cell: ({ spread }) => shareText(spread) },
  ];
  const short = standings.filter(({ total }) => total < seconds).map(({ id }) => id);
  return [
    `at ${formatSeconds(seconds)} of workers, training of candidates counted`,
    '',
    table(standings, layout, columns),
    '',
    table(methods, over, columns),
    ...(short.length === 0
      ? []
      : ['', `less than that was spent by ${short.join(', ')}, which may have found more with it`]),
  ].join('\n');
}
