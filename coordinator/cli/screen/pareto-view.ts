// The front of a sweep over two or three objectives: which finished candidates none dominates, the volume that they
// cover above a reference point, and both as a plot of characters. Decides what the objectives are called and which way
// is better; where no reference is named, it is the worst that was measured in each objective.

import { scatterChart } from '../../../core/report/charts.ts';
import { formatCount, formatNumber, formatPercent } from '../../../core/report/format.ts';
import { frontOf, hypervolume } from '../../../core/search/pareto.ts';
import type { Trial } from '../../../proto/gen/pocketfleet/v1/fleet.ts';
import { type Column, table } from './table.ts';

/** What a finished candidate is judged by. */
export const OBJECTIVES = ['accuracy', 'parameters', 'mflops'] as const;
/** One of these. */
export type ObjectiveName = (typeof OBJECTIVES)[number];

interface Objective {
  readonly better: 'more' | 'less';
  of(trial: Trial): number;
  text(value: number): string;
}

const BY_NAME: Readonly<Record<ObjectiveName, Objective>> = {
  accuracy: { better: 'more', of: (trial) => trial.objective, text: (value) => formatPercent(value, 2) },
  parameters: { better: 'less', of: (trial) => trial.parameters, text: formatCount },
  mflops: { better: 'less', of: (trial) => trial.mflops, text: (value) => formatNumber(value, 2) },
};

/** A front with all that was measured. Values are in the units and the order of the objectives. */
export interface Front {
  readonly objectives: readonly ObjectiveName[];
  /** Finished candidates, and those of them that none dominates, by the first objective, best first. */
  readonly measured: readonly Trial[];
  readonly front: readonly Trial[];
  readonly reference: readonly number[];
  /** Product of the distances to the reference; 0 where nothing is above it. */
  readonly hypervolume: number;
}

const valuesOf = (trial: Trial, objectives: readonly ObjectiveName[]): number[] =>
  objectives.map((name) => BY_NAME[name].of(trial));

/** Scores are such that more is better. */
const scoresOf = (values: readonly number[], objectives: readonly ObjectiveName[]): number[] =>
  values.map((value, at) => (BY_NAME[objectives[at]!].better === 'more' ? value : -value));

/** The front of these candidates; those that are not done, or lack a value, have no place in it. */
export function frontOfTrials(
  trials: readonly Trial[],
  objectives: readonly ObjectiveName[],
  named?: readonly number[],
): Front {
  const measured = trials.filter(
    (trial) => trial.state === 'done' && valuesOf(trial, objectives).every(Number.isFinite),
  );
  const scores = measured.map((trial) => scoresOf(valuesOf(trial, objectives), objectives));
  const worst = objectives.map((name, at) => {
    const least = scores.reduce((low, score) => Math.min(low, score[at]!), Number.POSITIVE_INFINITY);
    return BY_NAME[name].better === 'more' ? least : -least;
  });
  const reference = named ?? (measured.length === 0 ? [] : worst);
  const places = frontOf(scores);
  const front = places.sort((a, b) => scores[b]![0]! - scores[a]![0]! || a - b).map((at) => measured[at]!);
  const volume =
    reference.length === 0
      ? 0
      : hypervolume(
          front.map((trial) => scoresOf(valuesOf(trial, objectives), objectives)),
          scoresOf(reference, objectives),
        );
  return { objectives, measured, front, reference, hypervolume: volume };
}

const PLOT_ROWS = 12;
const PLOT_COLUMNS = 56;

/** The plot of the first two objectives, the table of the front, and the volume with its reference. */
export function frontText(found: Front, columns?: number): string {
  const { objectives, measured, front, reference } = found;
  if (measured.length === 0) return 'no candidate is done yet';
  const layout: Column<Trial>[] = [
    { head: 'TRIAL', cell: (trial) => trial.id },
    { head: '#', align: 'right', cell: (trial) => String(trial.number) },
    ...objectives.map(
      (name): Column<Trial> => ({
        head: name.toUpperCase(),
        align: 'right',
        cell: (trial) => BY_NAME[name].text(BY_NAME[name].of(trial)),
      }),
    ),
    { head: 'RUN', cell: (trial) => trial.runId },
  ];
  const at = objectives.map((name, i) => `${name} ${BY_NAME[name].text(reference[i]!)}`).join(', ');
  return [
    ...plotLines(found),
    '',
    table(front, layout, columns),
    '',
    `${front.length} of ${measured.length} finished candidates are on the front; hypervolume ${found.hypervolume.toPrecision(4)} from ${at}`,
  ].join('\n');
}

/** `●` on the front, `·` beside it; the first objective upward, the second to the right. */
function plotLines({ objectives, measured, front }: Front): string[] {
  const [up, right] = [BY_NAME[objectives[0]!], BY_NAME[objectives[1]!]];
  const extent = (of: (trial: Trial) => number) => {
    const values = measured.map(of);
    return { low: Math.min(...values), high: Math.max(...values) };
  };
  const [y, x] = [extent(up.of), extent(right.of)];
  const place = (value: number, { low, high }: { low: number; high: number }, cells: number) =>
    high === low ? 0 : Math.round(((value - low) / (high - low)) * (cells - 1));
  const rows = Array.from({ length: PLOT_ROWS }, () => new Array<string>(PLOT_COLUMNS).fill(' '));
  const draw = (trials: readonly Trial[], mark: string) => {
    for (const trial of trials)
      rows[PLOT_ROWS - 1 - place(up.of(trial), y, PLOT_ROWS)]![place(right.of(trial), x, PLOT_COLUMNS)] =
        mark;
  };
  draw(measured, '·');
  draw(front, '●');
  const labels = rows.map((_, i) => (i === 0 ? up.text(y.high) : i === PLOT_ROWS - 1 ? up.text(y.low) : ''));
  const width = Math.max(...labels.map((label) => label.length));
  const ends = [right.text(x.low), right.text(x.high)];
  const gap = Math.max(1, PLOT_COLUMNS - ends[0]!.length - ends[1]!.length);
  const indent = ' '.repeat(width + 2);
  return [
    `${objectives[0]} (${up.better} is better) over ${objectives[1]} (${right.better} is better); ● on the front`,
    ...rows.map((row, i) => `${labels[i]!.padStart(width)} │${row.join('').trimEnd()}`),
    `${' '.repeat(width + 1)}└${'─'.repeat(PLOT_COLUMNS)}`,
    `${indent}${ends[0]}${' '.repeat(gap)}${ends[1]}`,
  ];
}

/** Colours by themselves: the charts' own follow the page around them. */
const SVG_STYLE =
  '<style>svg{background:#fff;color:#333;font:12px sans-serif}.c0{color:#8a94a6}.c1{color:#c2410c}.dot circle{fill:currentColor}.grid,.axis{stroke:#ccc}</style>';

/** The same picture as an SVG file. */
export function frontSvg({ objectives, measured, front }: Front, title: string): string {
  const [up, right] = [BY_NAME[objectives[0]!], BY_NAME[objectives[1]!]];
  const isChosen = new Set(front);
  const dots = measured.map((trial) => ({
    x: right.of(trial),
    y: up.of(trial),
    label: isChosen.has(trial) ? `#${trial.number}` : '',
    tip: `${trial.id}: ${objectives.map((name) => `${name} ${BY_NAME[name].text(BY_NAME[name].of(trial))}`).join(', ')}`,
    chosen: isChosen.has(trial),
  }));
  const chart = scatterChart(dots, { title, xLabel: objectives[1]!, yLabel: objectives[0]! });
  return `${chart.replace('<svg', '<svg xmlns="http://www.w3.org/2000/svg"').replace('>', `>${SVG_STYLE}`)}\n`;
}
