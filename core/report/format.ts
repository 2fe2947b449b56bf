// Numbers, times and sizes as people read them, in one form for tables, bars and reports; a dash where
// nothing is known.

import stringWidth from 'string-width';

/** Stands for every number that is not known. */
export const UNKNOWN = '–';

export { formatBytes } from '../text/bytes-text.ts';

const grouped = new Intl.NumberFormat('en-US');

/** 925632 -> "925,632". */
export function formatCount(value: number): string {
  return Number.isFinite(value) ? grouped.format(Math.round(value)) : UNKNOWN;
}

/** "480/2,000"; within a round of outer steps with the steps that are not committed: "480+37/2,000". */
export function formatSteps(run: {
  readonly step: number;
  readonly openRoundSteps: number;
  readonly stepsTotal: number;
}): string {
  const open = run.openRoundSteps > 0 ? `+${formatCount(run.openRoundSteps)}` : '';
  return `${formatCount(run.step)}${open}/${formatCount(run.stepsTotal)}`;
}

/** 0.876 -> "87.6 %". */
export function formatPercent(fraction: number, digits = 1): string {
  return Number.isFinite(fraction) ? `${(fraction * 100).toFixed(digits)} %` : UNKNOWN;
}

/** A number with a fixed number of digits behind the point. */
export function formatNumber(value: number, digits = 2): string {
  return Number.isFinite(value) ? value.toFixed(digits) : UNKNOWN;
}

/** Seconds -> "9 s", "3 min 05 s", "2 h 07 min". */
export function formatSeconds(seconds: number): string {
  if (!Number.isFinite(seconds) || seconds < 0) return UNKNOWN;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${pad(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${pad(Math.floor((whole % 3600) / 60))} min`;
}

/** Wall-clock time of day, local; the date too when `withDate`. */
export function formatTime(ms: number, withDate = false): string {
  if (!Number.isFinite(ms) || ms <= 0) return UNKNOWN;
  const at = new Date(ms);
  const time = `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
  return withDate ? `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())} ${time}` : time;
}

/**
 * Columns that a text takes on a terminal: two for a wide character, none for a combining one or an escape
 * sequence.
 */
export function displayWidth(text: string): number {
  return isPlain(text) ? text.length : stringWidth(text);
}

/** Cuts to `width` columns with an ellipsis, so that a table or a status line keeps its shape. */
export function clip(text: string, width: number): string {
  if (text.length <= width && isPlain(text)) return text;
  if (displayWidth(text) <= width) return text;
  const room = Math.max(0, width - 1);
  if (isPlain(text)) return `${text.slice(0, room)}…`;
  let kept = '';
  let used = 0;
  for (const { segment } of graphemes.segment(text)) {
    used += displayWidth(segment);
    if (used > room) break;
    kept += segment;
  }
  return `${kept}…`;
}

const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' });

/** Printable Latin text, dash and ellipsis: one column a character, measured without the library. */
const isPlain = (text: string): boolean => /^[ -~\u00a1-\u00ac\u00ae-\u00ff–…]*$/.test(text);

const pad = (value: number): string => String(value).padStart(2, '0');
