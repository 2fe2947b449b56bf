// What tables and reports show of a run in words: how long it took, from whom it learned, and the cells of its network in short.

import type { Run } from '../../proto/gen/pocketfleet/v1/fleet.ts';

export function secondsOf(run: Run): number {
  return run.endedAtMs > 0 && run.startedAtMs > 0 ? (run.endedAtMs - run.startedAtMs) / 1000 : Number.NaN;
}

/** How a run learnt: a student with a teacher is distilled. */
export function learning(run: Run): string {
  return run.teacherRunId === '' ? run.kind : `${run.kind}, distilled`;
}

/** The eight operations of the normal cell, short: "dw3 dw1 · dw3 dw5 · …"; empty for a text that is no genotype. */
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
