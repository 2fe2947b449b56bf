// The part of a report about searches by gradient: what the alphas of each epoch stand for, and how they came there.
// Decides that epochs in a row with the same cells are one drawing, that the last cells alone are open, and how many
// drawings each of several searches has.

import type { Checkpoint, Run } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { genotypeDrawing } from './cell-drawing.ts';
import { escapeText } from './charts.ts';
import { scrollable } from './scrollable.ts';
import { alphaChart, driftChart } from './search-charts.ts';
import { alphasOverStages, cellsInARow, epochsText, searchedStages } from './searched-stages.ts';

/** A search by gradient with what its epochs found. */
export interface SearchReport {
  readonly run: Run;
  readonly checkpoints: readonly Checkpoint[];
}

/**
 * Drawings of all searches at most: each has as many, its newest, and one at least. A page of some megabytes is slow
 * to open.
 */
const DRAWINGS_MAX = 60;

/** The headings, charts and drawings of all searches among the runs; empty where there is none with a stage. */
export function searchSection(runs: readonly SearchReport[]): string {
  const found = runs
    .map(({ run, checkpoints }) => ({ run, stages: searchedStages(checkpoints) }))
    .filter(({ stages }) => stages.length > 0);
  if (found.length === 0) return '';
  const drawingsMax = Math.max(1, Math.floor(DRAWINGS_MAX / found.length));
  const searches = found.map(({ run, stages }) => searched(run, stages, drawingsMax));
  return `<h2>Search</h2>
<p class="soft">A search network has every operation on every edge, weighted by the softmax of its alphas. After each epoch the alphas stand for two cells.</p>
${searches.join('\n')}`;
}

function searched(run: Run, stages: ReturnType<typeof searchedStages>, drawingsMax: number): string {
  const of = (what: string) => `${what} of ${run.name}`;
  const alphas = alphasOverStages(stages);
  const heat = (['normal', 'reduce'] as const).map((kind) => {
    const cell = kind === 'normal' ? 'normal cell' : 'reduction cell';
    if (alphas === undefined) return '';
    const chart = alphaChart(alphas[kind], {
      title: of(`Shares of the operations on each edge of the ${cell}, by epoch,`),
    });
    return card(`Shares of the operations, ${cell}`, chart);
  });
  const drift = driftChart(stages, { title: of('Edges that changed and skips, by epoch,') });
  const rows = cellsInARow(stages);
  const drawings = rows.slice(-drawingsMax).map((row, at, shown) => {
    const drawing = genotypeDrawing(row.genotype, { title: of(`Cells after ${epochsText(row)}`) });
    const isLast = at === shown.length - 1;
    return `<details${isLast ? ' open' : ''}><summary>after ${epochsText(row)}</summary>${drawing}</details>`;
  });
  const left = rows.length - drawings.length;
  const note = left === 0 ? '' : `<p class="soft">The ${left} drawings of earlier epochs are left out.</p>`;
  return `<div class="two">${card('Edges that changed', drift)}${heat.join('')}</div>
<div class="card"${scrollable(of('Cells'))}><h3>${escapeText(of('Cells'))}</h3>${note}${drawings.join('')}</div>`;
}

const card = (name: string, chart: string): string =>
  `<div class="card"${scrollable(name)}><h3>${escapeText(name)}</h3>${chart}</div>`;
