// The report's gallery of verification pairs: two pictures, the distance of their embeddings, and whether the
// decision was right.

import type { PairExample } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { escapeText } from './charts.ts';
import { formatNumber } from './format.ts';

/** The gallery as HTML. `name`: the network whose decisions are shown. */
export function examplePairs(name: string, examples: readonly PairExample[]): string {
  // Distances reach from 0 to 4, but a network uses a part of that range, so the bars are scaled to the
  // largest one.
  const full = examples.reduce((most, pair) => Math.max(most, pair.distance, pair.threshold), 1e-9) * 1.05;
  return `<h2>Example pairs</h2>
<p class="soft">As ${escapeText(name)} sees them. The bar is the squared distance of the two embeddings, the upright line the threshold: to its left means “same person”.</p>
<div class="pairs">${examples.map((pair) => card(pair, full)).join('')}</div>`;
}

function card(pair: PairExample, full: number): string {
  const judgedSame = pair.distance < pair.threshold;
  const isRight = judgedSame === pair.same;
  const verdict = `${isRight ? '✓' : '✗'} judged ${judgedSame ? 'the same' : 'different'}`;
  const who = pair.same ? 'one person' : 'two people';
  return `<div class="pair">${image(pair.pngA, `first picture of ${who}`)}${image(pair.pngB, `second picture of ${who}`)}
<div class="meter ${isRight ? 'right' : 'wrong'}"><i style="width:${share(pair.distance / full)}"></i><u style="left:${share(pair.threshold / full)}"></u></div>
<span class="what">${pair.same ? 'Same person' : 'Different people'}</span> · <span class="${isRight ? 'right' : 'wrong'}">${verdict}</span> <span class="soft">(${formatNumber(pair.distance)} against ${formatNumber(pair.threshold)})</span></div>`;
}

function share(fraction: number): string {
  return `${(Math.min(1, Math.max(0, fraction)) * 100).toFixed(1)}%`;
}

function image(png: Uint8Array, text: string): string {
  return `<img alt="${text}"" src="data:image/png;base64,${Buffer.from(png).toString('base64')}">`;
}
