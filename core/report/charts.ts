// Charts as SVG text, without a DOM: scales and paths from d3, colours as CSS classes, so that light and dark
// follow the reader's setting. Each chart is a function of plain numbers. Decides axes, ticks, and how close
// labels may stand.

import { scaleLinear, scaleLog } from 'd3-scale';
import { curveLinear, curveStepAfter, line } from 'd3-shape';
import { printableLines } from '../text/printable.ts';

/** A point in the units of the two axes. */
export type Point = readonly [x: number, y: number];

/** One line of a chart. */
export interface Series {
  readonly name: string;
  /** Index of the series colour, 0..7. */
  readonly colour: number;
  readonly points: readonly Point[];
}

/** Title, axes and size of a chart. */
export interface ChartOptions {
  /** Read by screen readers, and shown by the browser when the pointer rests on the chart. */
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
}

type Scale = ((value: number) => number) & { ticks(count?: number): number[] };

/** Size of a chart that stands beside another on the page, which shows both at about this size. */
const WIDTH = 500;
const HEIGHT = 300;
const MARGIN = { left: 66, right: 24, top: 12, bottom: 44 };
/** Width of a chart that takes the page's whole width. */
const WIDE = 1000;
const COLOURS = 8;
/** Number of dash patterns in the style sheet; pattern 0 is a solid line. */
const DASHES = 4;

/** `&`, `<` and quotes made harmless: names come from users' files. */
export function escapeText(text: string): string {
  return printableLines(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

/** Lines over a common axis. With `smooth` the points are drawn faintly and their moving mean on top. */
export function lineChart(
  series: readonly Series[],
  options: ChartOptions & { readonly smooth?: boolean; readonly steps?: boolean; readonly unit?: boolean },
): string {
  const all = series.flatMap((one) => one.points.filter(isFinitePoint));
  const [x, y] = options.unit
    ? [xScale([0, 1]), yScale([0, 1])]
    : [xScale(extent(all.map((p) => p[0]))), yScale(padded(extent(all.map((p) => p[1]))))];
  const path = line<Point>()
    .defined(isFinitePoint)
    .x((p) => x(p[0]))
    .y((p) => y(p[1]))
    .curve(options.steps ? curveStepAfter : curveLinear)
    .digits(1);
  const drawn = series.map((one) => {
    const colour = strokeOf(one);
    const faint = options.smooth
      ? `<path class="line faint ${colour}" d="${path([...one.points]) ?? ''}"/>`
      : '';
    const shown = options.smooth ? movingMean(one.points) : one.points;
    return `${faint}<path class="line ${colour}" d="${path([...shown]) ?? ''}"><title>${escapeText(one.name)}</title></path>`;
  });
  const diagonal = options.unit ? `<path class="guide" d="M${x(0)},${y(0)}L${x(1)},${y(1)}"/>` : '';
  return frame(options, x, y, diagonal + drawn.join('')) + legend(series);
}

/** Formats a tick with as many digits as the distance of the ticks needs. */
export type FormatTick = (value: number, step: number) => string;

/** One dot of a scatter chart. */
export interface Dot {
  readonly x: number;
  readonly y: number;
  readonly label: string;
  readonly tip: string;
  readonly chosen: boolean;
}

const LABELLED_MAX = 40;

/** Dots over two axes, with the chosen one larger. */
export function scatterChart(
  dots: readonly Dot[],
  options: ChartOptions & { readonly formatY?: FormatTick },
): string {
  const x = xScale(padded(extent(dots.map((dot) => dot.x))), true);
  const y = yScale(padded(extent(dots.map((dot) => dot.y))));
  const drawn = dots.map(
    (dot) =>
      `<g class="dot ${dot.chosen ? 'c1 chosen' : 'c0'}"><circle cx="${fix(x(dot.x))}" cy="${fix(y(dot.y))}" r="${dot.chosen ? 8 : 5.5}"><title>${escapeText(dot.tip)}</title></circle>` +
      // Names of many dots would overlap: then only the chosen one has its name.
      (dots.length <= LABELLED_MAX || dot.chosen
        ? `<text x="${fix(x(dot.x) + 11)}" y="${fix(y(dot.y) + 4)}">${escapeText(dot.label)}</text></g>`
        : '</g>'),
  );
  return frame(options, x, y, drawn.join(''), options.formatY);
}

/** One row of the timeline. */
export interface Span {
  readonly label: string;
  readonly colour: number;
  /** Seconds since the start of the chart. */
  readonly from: number;
  readonly to: number;
  /** Moments inside the span, e.g. checkpoints. */
  readonly marks: readonly number[];
  readonly tip: string;
}

/** Which run took which time: one row for each span. */
export function spanChart(spans: readonly Span[], options: { readonly title: string }): string {
  const left = 190;
  const end = Math.max(1, ...spans.map((span) => span.to));
  const x = scaleLinear([0, end], [left, WIDE - MARGIN.right]);
  const rows = spans.map((span, i) => {
    const top = rowTop(i);
    const marks = span.marks.map((mark) => `<path class="mark" d="M${fix(x(mark))},${top - 2}v18"/>`);
    const width = Math.max(2, x(span.to) - x(span.from));
    return (
      rowName(span.label, left, i) +
      `<rect class="span c${span.colour % COLOURS}" x="${fix(x(span.from))}" y="${top}" width="${fix(width)}" height="14" rx="3"><title>${escapeText(span.tip)}</title></rect>${marks.join('')}`
    );
  });
  return rowChart({ width: WIDE, x, rows, title: options.title, format: (tick) => `${formatTick(tick)} s` });
}

/** One bar, with the value that it is compared with. */
export interface Bar {
  readonly label: string;
  readonly colour: number;
  readonly value: number;
  /** The value that this one is compared with; NaN draws no mark. */
  readonly mark: number;
  readonly tip: string;
}

/** Bars of shares on an axis from one half, which is guessing, to one. */
export function barChart(bars: readonly Bar[], options: { readonly title: string }): string {
  const left = 140;
  const x = scaleLinear([0.5, 1], [left, WIDTH - MARGIN.right]).clamp(true);
  const rows = bars.map((bar, i) => {
    const top = rowTop(i);
    const mark = Number.isFinite(bar.mark)
      ? `<path class="mark" d="M${fix(x(bar.mark))},${top - 3}v20"/>`
      : '';
    return (
      rowName(bar.label, left, i) +
      `<rect class="span c${bar.colour % COLOURS}" x="${left}" y="${top}" width="${fix(x(bar.value) - left)}" height="14" rx="3"><title>${escapeText(bar.tip)}</title></rect>${mark}`
    );
  });
  return rowChart({
    width: WIDTH,
    x,
    rows,
    title: options.title,
    format: (tick) => `${Math.round(tick * 100)} %`,
  });
}

const ROW = 26;
const rowTop = (row: number): number => row * ROW + 6;

function rowName(label: string, left: number, row: number): string {
  return `<text class="name" x="${left - 10}" y="${rowTop(row) + 11}" text-anchor="end">${escapeText(label)}</text>`;
}

function rowChart(chart: {
  width: number;
  x: Scale;
  rows: readonly string[];
  title: string;
  format: (tick: number) => string;
}): string {
  const bottom = chart.rows.length * ROW + 6;
  const ticks = chart.x
    .ticks(6)
    .map(
      (tick) =>
        `<path class="grid" d="M${fix(chart.x(tick))},0V${bottom}"/><text class="tick" text-anchor="middle" x="${fix(chart.x(tick))}" y="${bottom + 16}">${chart.format(tick)}</text>`,
    );
  return svg(chart.width, bottom + 24, chart.title, ticks.join('') + chart.rows.join(''));
}

/**
 * Classes of a series' line: its colour, and a dash pattern for readers who cannot distinguish the colours.
 */
function strokeOf({ colour }: Series): string {
  return `c${colour % COLOURS} d${colour % DASHES}`;
}

function legend(series: readonly Series[]): string {
  const keys = series.map(
    (one) =>
      `<span class="key"><svg class="swatch" viewBox="0 0 34 8" aria-hidden="true"><path class="line ${strokeOf(one)}" d="M0,4H34"/></svg>${escapeText(one.name)}</span>`,
  );
  return `<div class="legend">${keys.join('')}</div>`;
}

function frame(
  options: ChartOptions,
  x: Scale,
  y: Scale,
  inside: string,
  formatY: FormatTick = formatTick,
): string {
  const bottom = HEIGHT - MARGIN.bottom;
  const right = WIDTH - MARGIN.right;
  const yTicks = y.ticks(5);
  const yStep = (yTicks[1] ?? 1) - (yTicks[0] ?? 0);
  const rows = yTicks.map(
    (tick) =>
      `<path class="grid" d="M${MARGIN.left},${fix(y(tick))}H${right}"/><text class="tick" text-anchor="end" x="${MARGIN.left - 8}" y="${fix(y(tick) + 4)}">${formatY(tick, yStep)}</text>`,
  );
  const columns = x
    .ticks(6)
    .map(
      (tick) =>
        `<text class="tick" text-anchor="middle" x="${fix(x(tick))}" y="${bottom + 18}">${formatTick(tick)}</text>`,
    );
  const labels =
    `<text class="label" text-anchor="middle" x="${(MARGIN.left + right) / 2}" y="${HEIGHT - 6}">${escapeText(options.xLabel)}</text>` +
    `<text class="label" text-anchor="middle" transform="translate(13,${(MARGIN.top + bottom) / 2}) rotate(-90)">${escapeText(options.yLabel)}</text>`;
  const axis = `<path class="axis" d="M${MARGIN.left},${bottom}H${right}"/>`;
  return svg(WIDTH, HEIGHT, options.title, rows.join('') + columns.join('') + axis + labels + inside);
}

/** An `svg` element of that size; `title` is read by screen readers. */
export function svg(width: number, height: number, title: string, inside: string): string {
  return `<svg${width > WIDTH ? ' class="wide"' : ''} viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeText(title)}">${inside}</svg>`;
}

function xScale(domain: Point, log = false): Scale {
  const range = [MARGIN.left, WIDTH - MARGIN.right];
  // A factor of four between the smallest and the largest reads better by ratio.
  return log && domain[0] > 0 && domain[1] / domain[0] > 4
    ? scaleLog([...domain], range)
    : scaleLinear([...domain], range);
}

function yScale(domain: Point): Scale {
  return scaleLinear([...domain], [HEIGHT - MARGIN.bottom, MARGIN.top]);
}

function extent(values: readonly number[]): Point {
  const finite = values.filter(Number.isFinite);
  if (finite.length === 0) return [0, 1];
  return [finite.reduce((a, b) => Math.min(a, b)), finite.reduce((a, b) => Math.max(a, b))];
}

/**
 * Adds a twentieth on both sides. A domain of one value gets some width, or everything would lie on the axis.
 */
function padded([low, high]: Point): Point {
  const room = high > low ? (high - low) * 0.06 : Math.abs(high) * 0.05 || 1;
  const lower = low - room;
  return [low > 0 && lower <= 0 ? low / 2 : lower, high + room];
}

function isFinitePoint(point: Point): boolean {
  return Number.isFinite(point[0]) && Number.isFinite(point[1]);
}

/** The mean over a centred window of a fifteenth of the points. */
function movingMean(points: readonly Point[]): Point[] {
  const finite = points.filter(isFinitePoint);
  const reach = Math.floor(finite.length / 30);
  return finite.map(([x], i) => {
    const window = finite.slice(Math.max(0, i - reach), i + reach + 1);
    return [x, window.reduce((sum, point) => sum + point[1], 0) / window.length];
  });
}

const fix = (value: number): string => value.toFixed(1);

function formatTick(value: number): string {
  const size = Math.abs(value);
  if (size >= 1e6) return `${Number((value / 1e6).toPrecision(3))} M`;
  if (size >= 1e4) return `${Number((value / 1e3).toPrecision(3))} k`;
  return String(Number(value.toPrecision(3)));
}
