// What a search did over its epochs, as charts: the share of each op on each edge, and how much of the decoded
// cells changed. Decides how 112 rows of shares stay small: shares are drawn in ten steps, and neighbours of one
// step are one rectangle.

import { OPS } from '../spec/network.ts';
import { opColour } from './cell-drawing.ts';
import { escapeText, lineChart, svg } from './charts.ts';

const WIDTH = 500;
const LEFT = 92;
const RIGHT = 12;
/** Of one op's row, and between two edges. */
const LINE = 4;
const GAP = 4;
const EDGE = OPS.length * LINE + GAP;
/** Steps in which a share is drawn. */
const STEPS = 10;

/** Edges of a cell in the order of its alphas. */
const EDGES = [0, 1, 2, 3].flatMap((node) =>
  Array.from({ length: node + 2 }, (_, input) => ({ node, input })),
);

/**
 * The shares of the ops on the edges of one kind of cell, over epochs from left to right. `alphas`: of each epoch
 * the 14 x 8 alphas of the cell, edge by edge. An edge has a row for each op, in the order of OPS and in the colour
 * that the op has in the drawing of a cell.
 */
export function alphaChart(
  alphas: readonly ArrayLike<number>[],
  { title }: { readonly title: string },
): string {
  const width = (WIDTH - LEFT - RIGHT) / Math.max(1, alphas.length);
  const rows = EDGES.map(({ node, input }, edge) => {
    const top = edge * EDGE;
    const shares = alphas.map((one) => sharesOf(one, edge));
    const ops = OPS.map((op, column) => {
      const paths = Array.from({ length: STEPS }, (_, i) => {
        const runs = runsOf(
          shares.map((row) => Math.round(row[column]! * STEPS)),
          i + 1,
        );
        const d = runs.map(([from, length]) =>
          rectangle(LEFT + from * width, top + column * LINE, length * width),
        );
        return d.length === 0 ? '' : `<path class="share" opacity="${(i + 1) / STEPS}" d="${d.join('')}"/>`;
      });
      return `<g class="c${opColour(op)}"><title>${op}</title>${paths.join('')}</g>`;
    });
    const name = `<text class="name" text-anchor="end" x="${LEFT - 8}" y="${top + EDGE / 2 + 2}">${sourceName(input)} to ${node + 2}</text>`;
    return name + ops.join('');
  });
  const bottom = EDGES.length * EDGE;
  const ends =
    alphas.length === 0
      ? []
      : [
          `<text class="tick" x="${LEFT}" y="${bottom + 12}">1</text>`,
          `<text class="tick" text-anchor="end" x="${WIDTH - RIGHT}" y="${bottom + 12}">${alphas.length}</text>`,
        ];
  const label = `<text class="label" text-anchor="middle" x="${(LEFT + WIDTH - RIGHT) / 2}" y="${bottom + 12}">epoch</text>`;
  return svg(WIDTH, bottom + 18, title, rows.join('') + ends.join('') + label) + opLegend();
}

/** What one stage of a search has found, as far as the chart of its drift shows it. */
export interface StageDrift {
  /** From 1. */
  readonly stage: number;
  /** Edges of both cells that the stage before did not have; undefined where that is not known. */
  readonly changed: number | undefined;
  /** Skip connections of the normal cell. */
  readonly skips: number;
}

/** Edges that changed and skips of the normal cell, over the stages of a search. */
export function driftChart(stages: readonly StageDrift[], { title }: { readonly title: string }): string {
  const points = (of: (stage: StageDrift) => number) =>
    stages.map((stage): [number, number] => [stage.stage, of(stage)]);
  return lineChart(
    [
      { name: 'edges that changed', colour: 0, points: points(({ changed }) => changed ?? Number.NaN) },
      { name: 'skips of the normal cell', colour: 1, points: points(({ skips }) => skips) },
    ],
    { title, xLabel: 'epoch', yLabel: 'edges', steps: true },
  );
}

/** Softmax over the ops of an edge. */
function sharesOf(alphas: ArrayLike<number>, edge: number): number[] {
  const row = OPS.map((_, column) => alphas[edge * OPS.length + column] ?? 0);
  const max = Math.max(...row);
  const powers = row.map((value) => Math.exp(value - max));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

/** Runs of a value: where each begins, and its length. */
function runsOf(values: readonly number[], wanted: number): [from: number, length: number][] {
  const runs: [number, number][] = [];
  values.forEach((value, i) => {
    if (value !== wanted) return;
    const last = runs.at(-1);
    if (last !== undefined && last[0] + last[1] === i) last[1] += 1;
    else runs.push([i, 1]);
  });
  return runs;
}

const rectangle = (x: number, y: number, width: number): string =>
  `M${x.toFixed(1)},${y}h${width.toFixed(1)}v${LINE}h${(-width).toFixed(1)}z`;

const sourceName = (input: number): string => (input < 2 ? `k-${2 - input}` : String(input));

function opLegend(): string {
  const keys = OPS.map(
    (op) =>
      `<span class="key"><svg class="swatch c${opColour(op)}" viewBox="0 0 34 8" aria-hidden="true"><path class="share" d="M0,0h34v8h-34z"/></svg>${escapeText(op)}</span>`,
  );
  return `<div class="legend">${keys.join('')}</div>`;
}
