// What a text would do, as tables: its parts with their amounts, then the time of workers that they take by device
// class. Decides how a number that is not known exactly is written.

import { formatCount, formatSeconds } from '../../../core/report/format.ts';
import type {
  Forecast,
  ForecastPart,
  ForecastRange,
  ForecastTime,
} from '../../../proto/gen/pocketfleet/v1/fleet.ts';
import { type Column, table } from './table.ts';

/** The whole forecast; `columns` is the width of a terminal. */
export function forecastText({ parts, times, untimed }: Forecast, columns?: number): string {
  const amounts = table(
    parts,
    [
      { head: 'PART', cell: partText },
      { head: 'NAME', cell: ({ name }) => name },
      { head: 'BEGINS', cell: ({ begins }) => begins },
      { head: 'RUNS', align: 'right', cell: ({ runs }) => rangeText(runs, formatCount) },
      ...(parts.some(({ reused }) => (reused?.high ?? 0) > 0) ? [REUSED] : []),
      { head: 'STEPS', align: 'right', cell: ({ steps }) => rangeText(steps, formatCount) },
      { head: 'IMAGES', align: 'right', cell: ({ images }) => rangeText(images, formatCount) },
      { head: 'MULTIPLY-ADDS', align: 'right', cell: ({ multiplyAdds }) => rangeText(multiplyAdds, adds) },
    ],
    columns,
  );
  const notes = parts
    .filter(({ note }) => note !== '')
    .map((part) => `${partText(part)} ${part.name}: ${part.note}`);
  const timed =
    untimed === '' ? timesText(parts, times, columns) : [`no time of workers is known: ${untimed}`];
  return [amounts, ...(notes.length === 0 ? [] : ['', ...notes]), '', ...timed].join('\n');
}

/** Shown where something is. */
const REUSED: Column<ForecastPart> = {
  head: 'REUSED',
  align: 'right',
  cell: ({ reused }) => rangeText(reused, formatCount),
};

function timesText(
  parts: readonly ForecastPart[],
  times: readonly ForecastTime[],
  columns: number | undefined,
): string[] {
  const rows = parts.flatMap((part) => part.times.map((time) => ({ part, time })));
  const all = times.map(
    ({ deviceClass, workerSeconds }) =>
      `in all on ${deviceClass}: ${rangeText(workerSeconds, formatSeconds)} of workers`,
  );
  const each = table(
    rows,
    [
      { head: 'PART', cell: ({ part }) => partText(part) },
      { head: 'NAME', cell: ({ part }) => part.name },
      { head: 'WORKER TIME', cell: ({ time }) => rangeText(time.workerSeconds, formatSeconds) },
      { head: 'DEVICE CLASS', cell: ({ time }) => time.deviceClass },
      { head: 'MEASURED ON', cell: ({ time }) => time.basis },
    ],
    columns,
  );
  return [each, '', ...all];
}

const partText = ({ document, field, kind }: ForecastPart): string =>
  field === '' ? `${document} ${kind}` : `${document} ${field}`;

const adds = (value: number): string => (value === 0 ? '0' : value.toExponential(2));

/** `120`, or `120 (90 to 150)` where it is not known exactly. */
function rangeText(range: ForecastRange | undefined, text: (value: number) => string): string {
  const { low, likely, high } = range ?? { low: 0, likely: 0, high: 0 };
  const [from, at, to] = [text(low), text(likely), text(high)];
  return from === to ? at : `${at} (${from} to ${to})`;
}
