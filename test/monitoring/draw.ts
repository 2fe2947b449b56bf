// A panel's series as a picture, for a look at a dashboard where there is no Grafana.

import { scaleLinear } from 'd3-scale';
import { line } from 'd3-shape';

/** One curve: seconds since the epoch, and the value. */
export interface Curve {
  readonly label: string;
  readonly points: readonly (readonly [seconds: number, value: number])[];
}

const WIDTH = 480;
const HEIGHT = 220;
const COLOURS = ['#1f77b4', '#ff7f0e', '#2ca02c', '#d62728', '#9467bd', '#8c564b', '#e377c2', '#17becf'];
const LEGENDS = 6;

/** An SVG element at this place: title, unit, curves over time, the last value of each in the legend. */
export function drawPanel(
  panel: { readonly title: string; readonly unit: string; readonly curves: readonly Curve[] },
  at: { readonly x: number; readonly y: number },
): string {
  const { title, unit, curves } = panel;
  const points = curves.flatMap((curve) => curve.points).filter(([, value]) => Number.isFinite(value));
  const times = points.map(([seconds]) => seconds);
  const values = points.map(([, value]) => value);
  const x = scaleLinear([Math.min(...times), Math.max(...times)], [50, WIDTH - 12]);
  const y = scaleLinear([Math.min(0, ...values), Math.max(1e-9, ...values)], [HEIGHT - 80, 34]).nice();
  const path = line<readonly [number, number]>(
    ([seconds]) => x(seconds),
    ([, value]) => y(value),
  ).defined(([, value]) => Number.isFinite(value));
  const colour = (i: number) => COLOURS[i % COLOURS.length]!;
  const curvesText = curves.map(
    (curve, i) =>
      `<path d="${path(curve.points) ?? ''}" fill="none" stroke="${colour(i)}" stroke-width="1.5"/>`,
  );
  const ticks = y
    .ticks(4)
    .map(
      (tick) =>
        `<line x1="50" x2="${WIDTH - 12}" y1="${y(tick)}" y2="${y(tick)}" stroke="#ddd"/><text x="44" y="${y(tick) + 4}" text-anchor="end">${Number(tick.toPrecision(4))}</text>`,
    );
  const legend = curves
    .slice(0, LEGENDS)
    .map(
      ({ label, points: own }, i) =>
        `<text x="${12 + (i % 2) * 230}" y="${HEIGHT - 48 + Math.floor(i / 2) * 15}" fill="${colour(i)}">${escaped(label.slice(0, 30))}: ${Number((own.at(-1)?.[1] ?? Number.NaN).toPrecision(4))}</text>`,
    );
  const empty = points.length > 0 ? '' : `<text x="${WIDTH / 2}" y="100" text-anchor="middle">no data</text>`;
  return `<g transform="translate(${at.x},${at.y})" font-family="sans-serif" font-size="11"><rect width="${WIDTH - 8}" height="${HEIGHT - 8}" fill="#fff" stroke="#bbb"/><text x="10" y="18" font-size="13" font-weight="bold">${escaped(title)} (${unit})</text>${points.length > 0 ? ticks.join('') + curvesText.join('') + legend.join('') : empty}</g>`;
}

/** The panels of a dashboard, three in a line. */
export function drawDashboard(panels: readonly Parameters<typeof drawPanel>[0][]): string {
  const height = Math.ceil(panels.length / 3) * HEIGHT;
  const drawn = panels.map((one, i) => drawPanel(one, { x: (i % 3) * WIDTH, y: Math.floor(i / 3) * HEIGHT }));
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${3 * WIDTH}" height="${height}">${drawn.join('')}</svg>\n`;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
