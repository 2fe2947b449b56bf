// A run in words for tables and reports: how long it took, which teacher it learned from, and the cells of
// its network in short form.

import type { Run, StageFound } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { formatPercent } from './format.ts';

/** Seconds from the start of a run to its end; NaN for a run that has not ended. */
export function secondsOf(run: Run): number {
  return run.endedAtMs > 0 && run.startedAtMs > 0 ? (run.endedAtMs - run.startedAtMs) / 1000 : Number.NaN;
}

/** The kind of a run, and "distilled" for a student with a teacher. */
export function learning(run: Run): string {
  return run.teacherRunId === '' ? run.kind : `${run.kind}, distilled`;
}

/** What a search has found at the end of a stage, in short: `1 of 8 skip, 3 of 16 edges new, 71.2 % right`. */
export function searchFoundText({ skips, changedEdges, evaluation }: StageFound): string {
  const moved = changedEdges === undefined ? '' : `, ${changedEdges} of 16 edges new`;
  const right = evaluation === undefined ? '' : `, ${formatPercent(evaluation.accuracy)} right`;
  return `${skips} of 8 skip${moved}${right}`;
}

/**
 * The eight operations of the normal cell in short form: "dw3 dw1 · dw3 dw5 · …"; empty for a text that is no
 * genotype.
 */
export function cellText(genotypeJson: string): string {
  try {
    const { normal } = JSON.parse(genotypeJson) as { normal: [[string, number], [string, number]][] };
    return normal.map((node) => node.map(([op]) => shortOp(op)).join(' ')).join(' · ');
  } catch {
    return '';
  }
}

function shortOp(op: string): string {
  const size = /(\d)x\d$/.exec(op)?.[1] ?? '';
  if (op.startsWith('dw_conv')) return `dw${size}`;
  if (op.endsWith('pool_3x3')) return op.startsWith('max') ? 'max' : 'avg';
  return 'skip';
}
