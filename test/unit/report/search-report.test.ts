// What a report and a drawing show of a search by gradient: drift, shares of the operations over epochs, and cells.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { alphasOfText, alphasText } from '../../../core/nn/alphas-text.ts';
import { ALPHA_COUNT } from '../../../core/nn/supernet.ts';
import { reportHtml } from '../../../core/report/plan-report.ts';
import { searchDrawing } from '../../../core/report/search-drawing.ts';
import { alphasOverStages, cellsInARow, searchedStages } from '../../../core/report/searched-stages.ts';
import { reportData, searched } from './report-data.ts';

const stages = searchedStages(searched().checkpoints);
const countOf = (text: string, pattern: RegExp) => text.match(pattern)?.length ?? 0;

test('epochs in a row with the same cells are one, whatever the order of a node’s edges', () => {
  assert.deepEqual(
    cellsInARow(stages).map(({ first, last }) => [first, last]),
    [
      [1, 1],
      [2, 3],
      [4, 5],
    ],
  );
  const turned = stages.map((stage) => {
    const [[a, b], ...others] = stage.genotype.normal;
    return stage.stage === 3
      ? {
          ...stage,
          genotype: { ...stage.genotype, normal: [[b, a], ...others] as typeof stage.genotype.normal },
        }
      : stage;
  });
  assert.equal(cellsInARow(turned).length, 3);
  // A stage that nobody has reported lies between them.
  assert.equal(cellsInARow(stages.filter(({ stage }) => stage !== 3)).length, 3);
  assert.equal(cellsInARow(stages.filter(({ stage }) => stage === 2 || stage === 3)).length, 1);
});

test('alphas are shown where those of every epoch are known, a half for each kind of cell', () => {
  const { normal, reduce } = alphasOverStages(stages)!;
  assert.deepEqual([normal.length, normal[4]!.length, normal[4]![2]], [5, ALPHA_COUNT / 2, 50]);
  assert.ok(reduce.every((one) => one.length === ALPHA_COUNT / 2 && one.every((value) => value === 0)));
  assert.equal(alphasOverStages([...stages, { ...stages[0]!, stage: 6, alphas: undefined }]), undefined);
  assert.equal(alphasOverStages([]), undefined);
});

test('a report with a search has its drift, both heat maps and its cells, the last ones open', () => {
  const data = reportData();
  assert.doesNotMatch(reportHtml(data), /<h2>Search<\/h2>/);
  const page = reportHtml({ ...data, runs: [searched(), ...data.runs] });
  assert.match(page, /<h2>Search<\/h2>/);
  assert.match(page, /<h3>Edges that changed<\/h3>/);
  assert.match(page, /<h3>Shares of the operations, normal cell<\/h3>/);
  assert.match(page, /<h3>Shares of the operations, reduction cell<\/h3>/);
  assert.deepEqual(
    [...page.matchAll(/<details( open)?><summary>(after [^<]*)<\/summary><svg/g)].map(([, open, text]) => [
      open,
      text,
    ]),
    [
      [undefined, 'after epoch 1'],
      [undefined, 'after epochs 2 to 3'],
      [' open', 'after epochs 4 to 5'],
    ],
  );
  assert.equal(countOf(page, /<g class="op c\d">/g), 3 * 16);
  assert.doesNotMatch(page, /NaN|undefined/);
  const { checkpoints, ...rest } = searched();
  const without = checkpoints.map((one) => ({ ...one, found: { ...one.found!, alphas: [] } }));
  const older = reportHtml({ ...data, runs: [{ ...rest, checkpoints: without }] });
  assert.match(older, /after epochs 4 to 5/);
  assert.doesNotMatch(older, /Shares of the operations/);
});

test('a long search has a page of bounded length that says how many drawings it leaves out', () => {
  const { checkpoints, ...rest } = searched();
  const long = Array.from({ length: 500 }, (_, at) => ({ ...checkpoints[at % 2]!, stage: at + 1 }));
  const data = reportData();
  const page = reportHtml({ ...data, runs: [{ ...rest, checkpoints: long }] });
  assert.equal(countOf(page, /<summary>after /g), 60);
  assert.match(page, /The 440 drawings of earlier epochs are left out\./);
});

test('the searches of a sweep over seeds are drawn each, and share the drawings that a page has room for', () => {
  const { run, checkpoints } = searched();
  const long = Array.from({ length: 100 }, (_, at) => ({ ...checkpoints[at % 2]!, stage: at + 1 }));
  const data = reportData();
  for (const seeds of [2, 4, 64]) {
    const seedSearches = Array.from({ length: seeds }, (_, seed) => ({
      run: { ...run, id: `run-${seed + 20}`, name: `faces-seed-${seed}` },
      checkpoints: long,
    }));
    const page = reportHtml({ ...data, seedSearches });
    for (let seed = 0; seed < seeds; seed++) assert.match(page, new RegExp(`Cells of faces-seed-${seed}<`));
    assert.equal(countOf(page, /<summary>after /g), seeds * Math.max(1, Math.floor(60 / seeds)));
    assert.equal(countOf(page, /<details open><summary>after epoch 100</g), seeds, 'the last cells of each');
  }
});

test('the drawing of a search has all of that in one element, the newest cells first', () => {
  const drawing = searchDrawing(stages, { title: 'Search of <run>' });
  assert.equal(countOf(drawing, /<svg/g), 7);
  assert.equal(countOf(drawing, /<\/svg>/g), 7);
  assert.doesNotMatch(drawing, /<div|<span|NaN|undefined|<run>/);
  assert.deepEqual(
    [...drawing.matchAll(/>(cells after [^<]*)<\/text>/g)].map(([, text]) => text),
    ['cells after epochs 4 to 5', 'cells after epochs 2 to 3', 'cells after epoch 1'],
  );
  assert.match(drawing, />avg_pool_3x3<\/text>/);
  const [, height] = /^<svg[^>]* viewBox="0 0 1000 ([\d.]+)"/.exec(drawing)!;
  const ends = [...drawing.matchAll(/<svg x="\S+" y="(\S+)" width="\S+" height="(\S+)"/g)].map(
    ([, y, tall]) => Number(y) + Number(tall),
  );
  assert.equal(ends.length, 6);
  assert.ok(Math.max(...ends) <= Number(height));
  const older = searchDrawing(
    stages.map((stage) => ({ ...stage, alphas: undefined })),
    { title: 'older' },
  );
  assert.equal(countOf(older, /<svg/g), 5);
});

test('alphas come back from their text with the same bits, and another text is refused', () => {
  const alphas = Float32Array.from({ length: ALPHA_COUNT }, (_, i) => Math.fround(Math.sin(i) / 3));
  const text = alphasText(alphas);
  assert.deepEqual(alphasOfText(text, ALPHA_COUNT), alphas);
  assert.throws(() => alphasOfText(text.slice(4), ALPHA_COUNT), /is not that of 224 alphas/);
  assert.throws(() => alphasOfText(`${text.slice(0, -1)}!`, ALPHA_COUNT), /is not that of 224 alphas/);
  alphas[7] = Number.NaN;
  assert.throws(() => alphasOfText(alphasText(alphas), ALPHA_COUNT), /alpha 7 of 224 is NaN/);
});
