// The two cells of a genotype as a drawing. Decides where everything stands: each edge has a row of its own with
// its op at the column of the node that it feeds, so that no name covers another; what a cell or a node puts out
// goes down one line and from there along the rows of the edges that read it.

import type { Genotype } from '../spec/network.ts';
import { escapeText, svg } from './charts.ts';

type Cell = Genotype['normal'];

const NODES = 4;
const ROW = 30;
/** Rows above the first edge: the two inputs. */
const INPUT_ROWS = 2;
const HEADING = 34;
const CELL_HEIGHT = HEADING + (INPUT_ROWS + 2 * NODES) * ROW + 6;
const INPUT = { left: 8, width: 76, height: 22 };
/** Of the first node's ops, and from one node's to the next one's. */
const FIRST = 128;
const PITCH = 164;
const OP = { width: 112, height: 22 };
/** From the right end of an op to the middle of its node. */
const TO_NODE = 26;
const RADIUS = 11;
const OUTPUT = FIRST + NODES * PITCH + 4;
const WIDTH = OUTPUT + 78;

/** Colour of each op: one for each kind of sum, as in the charts. */
const COLOURS: Readonly<Record<Cell[number][number][0], number>> = {
  max_pool_3x3: 5,
  avg_pool_3x3: 1,
  skip_connect: 7,
  dw_conv_3x3: 0,
  dw_conv_5x5: 2,
  dw_conv_7x7: 3,
  dw_conv_1x1: 6,
  none: 7,
};

/** The colour of an op among the charts' eight. */
export const opColour = (op: keyof typeof COLOURS): number => COLOURS[op];

/** An SVG element with the normal cell above the reduction cell. `title`: read by screen readers. */
export function genotypeDrawing(genotype: Genotype, { title }: { readonly title: string }): string {
  const cells = [
    cellPart(genotype.normal, { name: 'Normal cell', reduction: false }),
    `<g transform="translate(0,${CELL_HEIGHT + 12})">${cellPart(genotype.reduce, { name: 'Reduction cell', reduction: true })}</g>`,
  ];
  return svg(WIDTH, 2 * CELL_HEIGHT + 12, title, cells.join(''));
}

function cellPart(
  cell: Cell,
  { name, reduction }: { readonly name: string; readonly reduction: boolean },
): string {
  const edges = cell.flatMap((pair, node) =>
    pair.map(([op, input], place) => ({ op, input, node, y: rowY(INPUT_ROWS + 2 * node + place) })),
  );
  const heading = `<text class="name" x="${INPUT.left}" y="18">${name}</text>`;
  const sources = Array.from({ length: 2 + NODES }, (_, source) => {
    const read = edges.filter(({ input }) => input === source);
    return trunk(source, Math.max(...read.map(({ y }) => y))) + sourcePart(source);
  });
  const drawn = edges.map(({ op, input, node, y }) => {
    const left = FIRST + node * PITCH;
    const label = reduction && input < 2 ? `${op} /2` : op;
    const tip = `${sourceName(input)} to node ${node + 2}: ${op}${reduction && input < 2 ? ', stride 2' : ''}`;
    return (
      `<path class="axis" d="M${sourceX(input)},${y}H${left - 5}m0,-3.5l5,3.5l-5,3.5"/>` +
      `<path class="axis" d="M${left + OP.width},${y}L${nodeX(node) - RADIUS + 2},${nodeY(node) + (y < nodeY(node) ? -5 : 5)}"/>` +
      `<g class="op c${COLOURS[op]}"><rect x="${left}" y="${y - OP.height / 2}" width="${OP.width}" height="${OP.height}" rx="6"><title>${escapeText(tip)}</title></rect>` +
      `<text class="name" text-anchor="middle" x="${left + OP.width / 2}" y="${y + 4}">${label}</text></g>`
    );
  });
  return heading + sources.join('') + drawn.join('') + outputPart();
}

/** The line down from what a source puts out; none where nobody reads it. */
const trunk = (source: number, to: number): string =>
  Number.isFinite(to) ? `<path class="axis" d="M${sourceX(source)},${sourceY(source)}V${to}"/>` : '';

function sourcePart(source: number): string {
  const [x, y] = [sourceX(source), sourceY(source)];
  if (source >= 2)
    return (
      `<path class="axis" d="M${x + RADIUS},${y}H${OUTPUT}"/>` +
      `<g class="node"><circle cx="${x}" cy="${y}" r="${RADIUS}"><title>node ${source}: the sum of its two edges</title></circle><text class="name" text-anchor="middle" x="${x}" y="${y + 4}">${source}</text></g>`
    );
  const left = x - 12;
  return `<g class="node"><rect x="${left}" y="${y - INPUT.height / 2}" width="${INPUT.width}" height="${INPUT.height}" rx="6"/><text class="name" text-anchor="middle" x="${left + INPUT.width / 2}" y="${y + 4}">${sourceName(source)}</text></g>`;
}

function outputPart(): string {
  const [top, bottom] = [nodeY(0) - 12, nodeY(NODES - 1) + 12];
  return `<g class="node"><rect x="${OUTPUT}" y="${top}" width="66" height="${bottom - top}" rx="6"/><text class="name" text-anchor="middle" x="${OUTPUT + 33}" y="${(top + bottom) / 2 + 4}">concat</text></g>`;
}

const sourceName = (source: number): string => (source < 2 ? `cell k-${2 - source}` : `node ${source}`);
const rowY = (row: number): number => HEADING + row * ROW + ROW / 2;
const nodeY = (node: number): number => rowY(INPUT_ROWS + 2 * node) + ROW / 2;
const nodeX = (node: number): number => FIRST + node * PITCH + OP.width + TO_NODE;
const sourceX = (source: number): number => (source < 2 ? INPUT.left + 12 + source * 24 : nodeX(source - 2));
const sourceY = (source: number): number => (source < 2 ? rowY(source) : nodeY(source - 2));
