// The front of a sweep over two or three objectives: which finished candidates none dominates, the volume that they
// cover above a reference point, and both as a plot of characters. Where no reference is named, it is the worst that was
// measured in each objective.

import { scatterChart } from '../../../core/report/charts.ts';
import { measuredOf, objectiveText, scoreOf } from '../../../core/report/objectives.ts';
import { standaloneSvg } from '../../../core/report/standalone-svg.ts';
import { frontOf, hypervolume } from '../../../core/search/pareto.ts';
import type { Objective, Trial } from '../../../proto/gen/pocketfleet/v1/fleet.ts';
import { type Column, table } from './table.ts';

/** A front with all that was measured. Values are in the units and the order of the objectives. */
export interface Front {
  readonly objectives: readonly Objective[];
  /** Finished candidates, and those of them that none dominates, by the first objective, best first. */
  readonly measured: readonly Trial[];
  readonly front: readonly Trial[];
  readonly reference: readonly number[];
  /** Product of the distances to the reference; 0 where nothing is above it. */
  readonly hypervolume: number;
  /** Device classes of the latencies, where latency is an objective; of more than one, they do not compare. */
  readonly deviceClasses: readonly string[];
}

const valuesOf = (trial: Trial, objectives: readonly Objective[]): number[] =>
  objectives.map(({ name }) => measuredOf(trial, name));

const scoresOf = (trial: Trial, objectives: readonly Objective[]): number[] =>
  objectives.map((objective) => scoreOf(trial, objective));

/** `more`: of an objective that is maximised. */
const better = ({ direction }: Objective): string => (direction === 'minimise' ? 'less' : 'more');

/** The front of these candidates; those that are not done, or lack a value, have no place in it. */
export function frontOfTrials(
  trials: readonly Trial[],
  objectives: readonly Objective[],
  named?: readonly number[],
): Front {
  const measured = trials.filter(
    (trial) => trial.state === 'done' && valuesOf(trial, objectives).every(Number.isFinite),
  );
  const scores = measured.map((trial) => scoresOf(trial, objectives));
  const sign = objectives.map(({ direction }) => (direction === 'minimise' ? -1 : 1));
  const worst = sign.map(
    (one, at) => one * scores.reduce((low, score) => Math.min(low, score[at]!), Number.POSITIVE_INFINITY),
  );
  const reference = named ?? (measured.length === 0 ? [] : worst);
  const places = frontOf(scores);
  const front = places.sort((a, b) => scores[b]![0]! - scores[a]![0]! || a - b).map((at) => measured[at]!);
  const volume =
    reference.length === 0
      ? 0
      : hypervolume(
          front.map((trial) => scoresOf(trial, objectives)),
          reference.map((value, at) => sign[at]! * value),
        );
  const isTimed = objectives.some(({ name }) => name === 'latency');
  const deviceClasses = isTimed ? [...new Set(measured.map(({ measuredOn }) => measuredOn))].sort() : [];
  return { objectives, measured, front, reference, hypervolume: volume, deviceClasses };
}

const PLOT_ROWS = 12;
const PLOT_COLUMNS = 56;

/** The plot of the first two objectives, the table of the front, and the volume with its reference. */
export function frontText(found: Front, columns?: number): string {
  const { objectives, measured, front, reference, deviceClasses } = found;
  if (measured.length === 0) return 'no candidate is done yet';
  const layout: Column<Trial>[] = [
    { head: 'TRIAL', cell: (trial) => trial.id },
    { head: '#', align: 'right', cell: (trial) => String(trial.number) },
    ...objectives.map(
      ({ name }): Column<Trial> => ({
        head: name.toUpperCase(),
        align: 'right',
        cell: (trial) => objectiveText(name, measuredOf(trial, name)),
      }),
    ),
    { head: 'RUN', cell: (trial) => trial.runId },
  ];
  const at = objectives.map(({ name }, i) => `${name} ${objectiveText(name, reference[i]!)}`).join(', ');
  return [
    ...plotLines(found),
    '',
    table(front, layout, columns),
    '',
    `${front.length} of ${measured.length} finished candidates are on the front; hypervolume ${found.hypervolume.toPrecision(4)} from ${at}`,
    ...(deviceClasses.length < 2
      ? []
      : [
          `latencies of ${deviceClasses.length} device classes do not compare: ${deviceClasses.join(', ')}; \`require\` keeps a sweep to one kind of device`,
        ]),
  ].join('\n');
}

/** `●` on the front, `·` beside it; the first objective upward, the second to the right. */
function plotLines({ objectives, measured, front }: Front): string[] {
  const [up, right] = [objectives[0]!, objectives[1]!];
  const extent = ({ name }: Objective) => {
    const values = measured.map((trial) => measuredOf(trial, name));
    return { low: Math.min(...values), high: Math.max(...values) };
  };
  const [y, x] = [extent(up), extent(right)];
  const place = (value: number, { low, high }: { low: number; high: number }, cells: number) =>
    high === low ? 0 : Math.round(((value - low) / (high - low)) * (cells - 1));
  const rows = Array.from({ length: PLOT_ROWS }, () => new Array<string>(PLOT_COLUMNS).fill(' '));
  const draw = (trials: readonly Trial[], mark: string) => {
    for (const trial of trials)
      rows[PLOT_ROWS - 1 - place(measuredOf(trial, up.name), y, PLOT_ROWS)]![
        place(measuredOf(trial, right.name), x, PLOT_COLUMNS)
      ] = mark;
  };
  draw(measured, '·');
  draw(front, '●');
  const labels = rows.map((_, i) =>
    i === 0 ? objectiveText(up.name, y.high) : i === PLOT_ROWS - 1 ? objectiveText(up.name, y.low) : '',
  );
  const width = Math.max(...labels.map((label) => label.length));
  const ends = [x.low, x.high].map((value) => objectiveText(right.name, value));
  const gap = Math.max(1, PLOT_COLUMNS - ends[0]!.length - ends[1]!.length);
  const indent = ' '.repeat(width + 2);
  return [
    `${up.name} (${better(up)} is better) over ${right.name} (${better(right)} is better); ● on the front`,
    ...rows.map((row, i) => `${labels[i]!.padStart(width)} │${row.join('').trimEnd()}`),
    `${' '.repeat(width + 1)}└${'─'.repeat(PLOT_COLUMNS)}`,
    `${indent}${ends[0]}${' '.repeat(gap)}${ends[1]}`,
  ];
}

/** The same picture as an SVG file. */
export function frontSvg({ objectives, measured, front }: Front, title: string): string {
  const [up, right] = [objectives[0]!.name, objectives[1]!.name];
  const isChosen = new Set(front);
  const dots = measured.map((trial) => ({
    x: measuredOf(trial, right),
    y: measuredOf(trial, up),
    label: isChosen.has(trial) ? `#${trial.number}` : '',
    tip: `${trial.id}: ${objectives.map(({ name }) => `${name} ${objectiveText(name, measuredOf(trial, name))}`).join(', ')}`,
    chosen: isChosen.has(trial),
  }));
  return standaloneSvg(scatterChart(dots, { title, xLabel: right, yLabel: up }));
}
