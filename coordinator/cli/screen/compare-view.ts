// Two runs or two sweeps beside each other: what was asked differently, what came out, and what it cost. Decides
// the rows and their words.

import {
  formatCount,
  formatNumber,
  formatPercent,
  formatSeconds,
  UNKNOWN,
} from '../../../core/report/format.ts';
import { excerpt } from '../../../core/text/printable.ts';
import { table } from './table.ts';

/** A number or a text of both; NaN and empty texts are unknown. */
export interface ComparedValue {
  readonly what: string;
  readonly unit: 'text' | 'count' | 'share' | 'seconds' | 'number';
  readonly a: number | string;
  readonly b: number | string;
}

/** Two things of one kind, and how they differ. */
export interface Comparison {
  readonly kind: 'run' | 'sweep';
  readonly ids: readonly [a: string, b: string];
  /** Fields of the specs with different values. */
  readonly specs: readonly { readonly field: string; readonly a: unknown; readonly b: unknown }[];
  readonly values: readonly ComparedValue[];
}

const TEXTS: Readonly<Record<Exclude<ComparedValue['unit'], 'text'>, (value: number) => string>> = {
  count: formatCount,
  share: (value) => formatPercent(value, 2),
  seconds: formatSeconds,
  number: (value) => formatNumber(value, 3),
};

const valueText = (value: number | string, unit: ComparedValue['unit']): string => {
  if (typeof value === 'string' || unit === 'text') return String(value) || UNKNOWN;
  return Number.isFinite(value) ? TEXTS[unit](value) : UNKNOWN;
};

/** The second less the first, with its sign, where both are numbers. */
function differenceText({ a, b, unit }: ComparedValue): string {
  if (typeof a === 'string' || typeof b === 'string' || unit === 'text') return '';
  const difference = b - a;
  if (!Number.isFinite(difference)) return '';
  if (difference === 0) return 'equal';
  const sign = difference > 0 ? '+' : '-';
  const size = Math.abs(difference);
  return unit === 'share' ? `${sign}${formatNumber(size * 100, 2)} points` : `${sign}${TEXTS[unit](size)}`;
}

const fieldText = (value: unknown): string =>
  value === undefined ? UNKNOWN : excerpt(typeof value === 'string' ? value : JSON.stringify(value), 48);

/** Specs first, because they explain the rest. */
export function comparisonText({ kind, ids, specs, values }: Comparison, columns?: number): string {
  const [a, b] = ids.map((id) => id.toUpperCase());
  const asked =
    specs.length === 0
      ? [`the specs of the two ${kind}s do not differ in what results depend on`]
      : [
          table(
            specs,
            [
              { head: 'ASKED', cell: ({ field }) => field },
              { head: a!, cell: (one) => fieldText(one.a) },
              { head: b!, cell: (one) => fieldText(one.b) },
            ],
            columns,
          ),
        ];
  const found = table(
    values,
    [
      { head: 'RESULT', cell: ({ what }) => what },
      { head: a!, align: 'right', cell: (one) => valueText(one.a, one.unit) },
      { head: b!, align: 'right', cell: (one) => valueText(one.b, one.unit) },
      { head: 'DIFFERENCE', align: 'right', cell: differenceText },
    ],
    columns,
  );
  return [...asked, '', found].join('\n');
}
