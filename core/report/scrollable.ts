// A box of a report that may be wider than the screen.

import { escapeText } from './charts.ts';

/** Its attributes: the keyboard can scroll it, and screen readers name it. */
export function scrollable(name: string): string {
  return ` tabindex="0" role="region" aria-label="${escapeText(name)}"`;
}
