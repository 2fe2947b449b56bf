// ROC curves as an SVG document: the true over the false positive rate, the latter on a logarithmic axis,
// because benchmarks are compared where false positives are rare. A pure function of numbers; the colours
// follow the reader's light or dark setting.

import { scaleLinear, scaleLog } from 'd3-scale';
import { curveStepAfter, line } from 'd3-shape';
import { escapeText } from './charts.ts';

/** One network's curve. */
export interface Curve {
  readonly name: string;
  readonly fpr: readonly number[];
  readonly tpr: readonly number[];
}

const WIDTH = 720;
const HEIGHT = 480;
const MARGIN = { left: 68, right: 24, top: 20, bottom: 56 };
/** Colours that are readable on white and on dark grey. */
const COLOURS = ['#2f6fde', '#d9652b', '#1f9d76', '#8a4fd0', '#c2397a', '#8a7415', '#2a91ad', '#6b7686'];

/** The document with all curves and a legend. */
export function rocSvg(curves: readonly Curve[]): string {
  const smallest = smallestRate(curves);
  const x = scaleLog([smallest, 1], [MARGIN.left, WIDTH - MARGIN.right]);
  const y = scaleLinear([0, 1], [HEIGHT - MARGIN.bottom, MARGIN.top]);
  const path = line<readonly [number, number]>()
    .x(([fpr]) => x(Math.max(fpr, smallest)))
    .y(([, tpr]) => y(tpr))
    .curve(curveStepAfter)
    .digits(2);
  const drawn = curves.map((curve, i) => {
    const points = curve.fpr.map((fpr, k) => [fpr, curve.tpr[k]!] as const);
    return `<path class="curve" stroke="${colour(i)}" d="${path(points) ?? ''}"><title>${escapeText(curve.name)}</title></path>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img" aria-label="ROC of ${escapeText(curves.map((curve) => curve.name).join(', '))}">
<style>
svg { background: #fff; } text { font: 12px system-ui, sans-serif; fill: #5b6675; } text.name { fill: #1c2430; }
.grid { stroke: #e2e6ec; } .axis { stroke: #5b6675; } .curve { fill: none; stroke-width: 2; stroke-linejoin: round; }
@media (prefers-color-scheme: dark) { svg { background: #1b212a; } text { fill: #9aa5b4; } text.name { fill: #e6eaf0; } .grid { stroke: #2d3642; } .axis { stroke: #9aa5b4; } }
</style>
${axes(x, y, smallest)}
${drawn.join('\n')}
${curves.map((curve, i) => legendRow(curve, i, curves.length)).join('\n')}
</svg>
`;
}

/**
 * Left end of the axis: a power of ten below the smallest rate above 0, and at most 1e-3, so that a tiny set
 * has an axis.
 */
function smallestRate(curves: readonly Curve[]): number {
  const rates = curves.flatMap((curve) => curve.fpr.filter((fpr) => fpr > 0));
  const smallest = rates.reduce((a, b) => Math.min(a, b), 1e-3);
  return 10 ** Math.floor(Math.log10(smallest));
}

function axes(x: (value: number) => number, y: (value: number) => number, smallest: number): string {
  const bottom = HEIGHT - MARGIN.bottom;
  const right = WIDTH - MARGIN.right;
  const decades = Array.from({ length: Math.round(-Math.log10(smallest)) + 1 }, (_, i) => smallest * 10 ** i);
  const columns = decades.map(
    (rate) =>
      `<path class="grid" d="M${fix(x(rate))},${MARGIN.top}V${bottom}"/><text text-anchor="middle" x="${fix(x(rate))}" y="${bottom + 20}">${rateText(rate)}</text>`,
  );
  const rows = [0, 0.2, 0.4, 0.6, 0.8, 1].map(
    (rate) =>
      `<path class="grid" d="M${MARGIN.left},${fix(y(rate))}H${right}"/><text text-anchor="end" x="${MARGIN.left - 8}" y="${fix(y(rate) + 4)}">${rate.toFixed(1)}</text>`,
  );
  return `${columns.join('')}${rows.join('')}
<path class="axis" d="M${MARGIN.left},${bottom}H${right}"/>
<text text-anchor="middle" x="${(MARGIN.left + right) / 2}" y="${HEIGHT - 14}">false positive rate</text>
<text text-anchor="middle" transform="translate(18,${(MARGIN.top + bottom) / 2}) rotate(-90)">true positive rate</text>`;
}

/**
 * The legend in the lower right corner, which the curve of a network that learned anything does not reach.
 */
function legendRow(curve: Curve, index: number, count: number): string {
  const y = HEIGHT - MARGIN.bottom - 16 - 18 * (count - 1 - index);
  const x = WIDTH - MARGIN.right - 12;
  return `<text class="name" text-anchor="end" x="${x - 22}" y="${y + 4}">${escapeText(curve.name)}</text><path class="curve" stroke="${colour(index)}" d="M${x - 16},${y}H${x}"/>`;
}

const rateText = (rate: number): string =>
  rate > 0.5 ? '1' : `10<tspan baseline-shift="super" font-size="9">${Math.round(Math.log10(rate))}</tspan>`;
const colour = (index: number): string => COLOURS[index % COLOURS.length]!;
const fix = (value: number): string => value.toFixed(1);
