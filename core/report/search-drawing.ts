// A search by gradient as one drawing, for a file of its own: how much its cells changed from epoch to epoch, the shares
// of the operations on each edge, and the cells themselves, one under the other. Decides where the parts stand.

import { OPS } from '../spec/network.ts';
import { genotypeDrawing, opColour } from './cell-drawing.ts';
import { escapeText, svg } from './charts.ts';
import { alphaChart, driftChart } from './search-charts.ts';
import { alphasOverStages, cellsInARow, epochsText, type SearchedStage } from './searched-stages.ts';

/** Width of a chart, of which two stand beside each other, and of a drawing of cells. */
const CHART = 500;
const CELLS = 866;
const WIDTH = 2 * CHART;
const HEADING = 30;
const GAP = 16;

/** An SVG element with all stages, the newest cells first. `title`: read by screen readers. */
export function searchDrawing(
  stages: readonly SearchedStage[],
  { title }: { readonly title: string },
): string {
  const parts: string[] = [];
  let top = 0;
  const heading = (text: string) => {
    parts.push(`<text class="name" x="8" y="${top + 20}">${escapeText(text)}</text>`);
    top += HEADING;
  };
  /** Charts beside each other. */
  const place = (charts: readonly string[], width: number) => {
    const heights = charts.map((chart, at) => {
      const { element, height } = placed(chart, { x: at * width, y: top, width });
      parts.push(element);
      return height;
    });
    top += Math.max(...heights) + GAP;
  };
  heading(title);
  const drift = placed(driftChart(stages, { title: 'edges that changed, and skips' }), {
    ...{ x: 0, y: top, width: CHART },
  });
  parts.push(drift.element, keys(DRIFT_KEYS, CHART + 16, top + GAP));
  top += drift.height + GAP;
  const alphas = alphasOverStages(stages);
  if (alphas !== undefined) {
    heading('shares of the operations on each edge by epoch: normal cell, reduction cell');
    parts.push(keys(OP_KEYS, 8, top + 4));
    top += KEYS_IN_A_COLUMN * KEY + GAP;
    place(
      [
        alphaChart(alphas.normal, { title: 'normal cell' }),
        alphaChart(alphas.reduce, { title: 'reduction cell' }),
      ],
      CHART,
    );
  }
  for (const row of cellsInARow(stages).reverse()) {
    heading(`cells after ${epochsText(row)}`);
    place([genotypeDrawing(row.genotype, { title: `cells after ${epochsText(row)}` })], CELLS);
  }
  return svg(WIDTH, top, title, parts.join(''));
}

/** An element of its own size as a part of another one, without what a page has beside it. */
function placed(
  chart: string,
  at: { readonly x: number; readonly y: number; readonly width: number },
): { readonly element: string; readonly height: number } {
  const element = chart.slice(0, chart.indexOf('</svg>') + '</svg>'.length);
  const [, width, height] = /viewBox="0 0 (\S+) (\S+)"/.exec(element)!.map(Number) as [
    number,
    number,
    number,
  ];
  const shown = (height * at.width) / width;
  const place = `x="${at.x}" y="${at.y}" width="${at.width}" height="${shown.toFixed(1)}"`;
  return { element: element.replace('<svg', `<svg ${place}`), height: Math.ceil(shown) };
}

/** A colour and what it stands for. */
interface Key {
  readonly colour: number;
  readonly name: string;
}

const DRIFT_KEYS: readonly Key[] = [
  { colour: 0, name: 'edges that changed since the epoch before, of 16' },
  { colour: 1, name: 'skips of the normal cell, of 8' },
];
const OP_KEYS: readonly Key[] = OPS.map((op) => ({ colour: opColour(op), name: op }));
const KEY = 18;
const KEYS_IN_A_COLUMN = 2;
const KEY_COLUMN = 160;

function keys(all: readonly Key[], left: number, top: number): string {
  return all
    .map(({ colour, name }, i) => {
      const x = left + Math.floor(i / KEYS_IN_A_COLUMN) * KEY_COLUMN;
      const y = top + (i % KEYS_IN_A_COLUMN) * KEY;
      return `<g class="c${colour}"><path class="share" d="M${x},${y}h14v10h-14z"/></g><text x="${x + 20}" y="${y + 9}">${escapeText(name)}</text>`;
    })
    .join('');
}
