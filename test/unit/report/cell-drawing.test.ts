// Drawings of cells and of a search: what stands in them, and that no name covers another.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GENOTYPES } from '../../../core/nn/genotype.ts';
import { randomGenotype } from '../../../core/nn/random-genotype.ts';
import { genotypeDrawing } from '../../../core/report/cell-drawing.ts';
import { alphaChart, driftChart } from '../../../core/report/search-charts.ts';
import { standaloneSvg } from '../../../core/report/standalone-svg.ts';
import { OPS } from '../../../core/spec/network.ts';

interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** Rectangles of ops and their labels, in the order of the drawing. */
function opsIn(svg: string): { box: Box; tip: string; label: string }[] {
  const pattern =
    /<g class="op c\d"><rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)" rx="6"><title>([^<]*)<\/title><\/rect><text[^>]*>([^<]*)<\/text>/g;
  return [...svg.matchAll(pattern)].map(([, x, y, width, height, tip, label]) => ({
    box: { x: Number(x), y: Number(y), width: Number(width), height: Number(height) },
    tip: tip!,
    label: label!,
  }));
}

const overlap = (a: Box, b: Box) =>
  a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;

test('each edge of both cells is drawn with its op, its source and its node', () => {
  const drawn = opsIn(genotypeDrawing(GENOTYPES.casia, { title: 'casia' }));
  assert.equal(drawn.length, 16);
  const { normal, reduce } = GENOTYPES.casia;
  const source = (input: number) => (input < 2 ? `cell k-${2 - input}` : `node ${input}`);
  const tips = (cell: typeof normal, stride: boolean) =>
    cell.flatMap((pair, node) =>
      pair.map(
        ([op, input]) =>
          `${source(input)} to node ${node + 2}: ${op}${stride && input < 2 ? ', stride 2' : ''}`,
      ),
    );
  assert.deepEqual(
    drawn.map(({ tip }) => tip),
    [...tips(normal, false), ...tips(reduce, true)],
  );
  assert.deepEqual(
    drawn.slice(8, 11).map(({ label }) => label),
    ['dw_conv_3x3 /2', 'dw_conv_7x7 /2', 'skip_connect'],
  );
});

test('no op covers another, whatever the genotype, and all lie within the picture', () => {
  for (let number = 0; number < 6; number++) {
    const genotype = randomGenotype(
      OPS.filter((op) => op !== 'none'),
      4,
      number,
    );
    const svg = genotypeDrawing(genotype, { title: 'a <b>' });
    const [, width, height] = /viewBox="0 0 (\d+) (\d+)"/.exec(svg)!.map(Number) as [number, number, number];
    const cells = [opsIn(svg).slice(0, 8), opsIn(svg).slice(8)];
    for (const boxes of cells)
      boxes.forEach(({ box }, i) => {
        assert.ok(box.x >= 0 && box.x + box.width <= width && box.y >= 0 && box.y + box.height <= height / 2);
        for (const other of boxes.slice(i + 1)) assert.ok(!overlap(box, other.box));
      });
    assert.match(svg, /aria-label="a &#60;b&#62;"/);
  }
});

test('a file of its own has its name space and its colours', () => {
  const file = standaloneSvg(genotypeDrawing(GENOTYPES.cifar10, { title: 'cifar10' }));
  assert.match(file, /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" [^>]*><style>.*<\/svg>\n$/s);
  // Every class that is drawn has a style.
  const classes = new Set([...file.matchAll(/class="([^"]+)"/g)].flatMap(([, names]) => names!.split(' ')));
  for (const name of classes) if (name !== 'wide') assert.ok(file.includes(`.${name}`), name);
});

test('shares of ops over epochs become rectangles of their op, and equal neighbours one', () => {
  // The first edge goes from even shares to all on the third op; all others rest.
  const start = new Array<number>(112).fill(0);
  const end = start.map((value, i) => (i === 2 ? 50 : value));
  const svg = alphaChart([start, start, end], { title: 'alphas' });
  assert.equal(svg.match(/class="name"/g)?.length, 14);
  // 0.125 is step 1 of ten for 112 ops over two or three epochs, each one run; then one op has all.
  assert.equal(svg.match(/opacity="0.1"/g)?.length, 112);
  assert.deepEqual(
    [...svg.matchAll(/opacity="1" d="([^"]*)"/g)].map(([, d]) => d),
    [`M356.0,8h132.0v4h-132.0z`],
  );
  assert.doesNotThrow(() => alphaChart([], { title: 'none' }));
});

test('the drift of a search has edges and skips by epoch, and begins where it is known', () => {
  const svg = driftChart(
    [
      { stage: 1, changed: undefined, skips: 6 },
      { stage: 2, changed: 9, skips: 5 },
      { stage: 3, changed: 0, skips: 1 },
    ],
    { title: 'drift' },
  );
  assert.match(svg, /edges that changed/);
  assert.match(svg, /skips of the normal cell/);
  assert.equal(svg.match(/class="line c\d d\d" d="M[^"]+"/g)?.length, 4);
});
