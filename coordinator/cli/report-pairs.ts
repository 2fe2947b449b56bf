// The report's gallery of verification pairs: two pictures, how far apart their embeddings are, and whether that was
// judged rightly.

import type { PairExample } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { formatNumber } from './format.ts';
import { escapeText } from './report-charts.ts';

/** Largest squared distance of two unit embeddings. */
const DISTANCE_MAX = 4;

export function examplePairs(name: string, examples: readonly PairExample[]): string {
  return `<h2>Example pairs</h2>
<p class="soft">As ${escapeText(name)} sees them. The bar is the squared distance of the two embeddings, the upright line the threshold: to its left means “same person”.</p>
<div class="pairs">${examples.map(card).join('')}</div>`;
}

function card(pair: PairExample): string {
  const judgedSame = pair.distance < pair.threshold;
  const isRight = judgedSame === pair.same;
  const verdict = `${isRight ? '✓' : '✗'} judged ${judgedSame ? 'the same' : 'different'}`;
  return `<div class="pair">${image(pair.pngA)}${image(pair.pngB)}
<div class="meter ${isRight ? 'right' : 'wrong'}"><i style="width:${share(pair.distance)}"></i><u style="left:${share(pair.threshold)}"></u></div>
<span class="what">${pair.same ? 'Same person' : 'Different people'}</span> · <span class="${isRight ? 'right' : 'wrong'}">${verdict}</span> <span class="soft">(${formatNumber(pair.distance)} against ${formatNumber(pair.threshold)})</span></div>`;
}

function share(distance: number): string {
  return `${(Math.min(1, Math.max(0, distance / DISTANCE_MAX)) * 100).toFixed(1)}%`;
}

function image(png: Uint8Array): string {
  return `<img alt="" src="data:image/png;base64,${Buffer.from(png).toString('base64')}">`;
}
