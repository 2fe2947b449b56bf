// The amounts of a forecast: as ranges, and as times of workers by device class; and what its parts are judged by.

import type { ForecastRange, ForecastTime } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import type { Fleet } from '../decisions/reuse.ts';
import type { Observed } from '../model/observed.ts';
import type { DataFacts, State } from '../model/state.ts';
import type { LoadTime, MeasuredRun, Range } from '../scheduling/measured-times.ts';

/** What a forecast is made from. */
export interface ForecastContext {
  readonly state: State;
  readonly speedOf: (runId: string, workerId: string) => number | undefined;
  /** What was measured of passes and steps, what workers may keep of passes, and what they reported of their time. */
  readonly observed: Pick<Observed, 'secondsOf' | 'imageRowsBytes' | 'openTimeOf'>;
  /** Milliseconds of any clock: a rehearsal is cut off by it. */
  readonly now: () => number;
  /** Workers by what a run may require, for what it would take of others. */
  readonly pools: Fleet['pools'];
}

/** Where a part stands, and what it is judged by. */
export interface About {
  readonly document: number;
  readonly field: string;
  /** Training images of the data. */
  readonly images: number;
  readonly facts: DataFacts;
  readonly measured: readonly MeasuredRun[];
}

/** What is known to the last one. */
export const exactly = (value: number): Range => ({ low: value, likely: value, high: value });

/** The range of several cases that are known. */
export const rangeOf = (values: readonly number[]): ForecastRange => together(values.map(exactly));

/** The least and the most of several cases, and the mean between. */
function together(cases: readonly Range[]): ForecastRange {
  if (cases.length === 0) return exactly(0);
  const low = cases.reduce((least, one) => Math.min(least, one.low), Number.POSITIVE_INFINITY);
  const high = cases.reduce((most, one) => Math.max(most, one.high), Number.NEGATIVE_INFINITY);
  const mean = cases.reduce((sum, { likely }) => sum + likely, 0) / cases.length;
  // A sum of equal numbers may round to either side of them.
  return { low, likely: Math.min(high, Math.max(low, mean)), high };
}

/** Each of them with so much more. */
export const plus = ({ low, likely, high }: Range, more: number): Range => ({
  ...{ low: low + more, likely: likely + more, high: high + more },
});

/** Each of them so many times. */
export const scaled = ({ low, likely, high }: Range, by: number): ForecastRange => ({
  ...{ low: low * by, likely: likely * by, high: high * by },
});

const LIKE: Readonly<Record<LoadTime['like'], string>> = {
  kind: 'of this kind and size',
  size: 'of this size',
  none: 'of other sizes',
};

/** The times of several cases together; what they were measured on is said of one. */
export function forecastTime(cases: readonly LoadTime[], one: LoadTime): ForecastTime {
  const { deviceClass, runs: measuredRuns, like, isLive } = one;
  const live = isLive ? ', which train now: what runs take beside their steps is not in it' : '';
  return {
    ...{
      deviceClass,
      measuredRuns,
      basis: `${measuredRuns} ${measuredRuns === 1 ? 'run' : 'runs'} ${LIKE[like]}${live}`,
    },
    workerSeconds: together(cases.map(({ seconds }) => seconds)),
  };
}
