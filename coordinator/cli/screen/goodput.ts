// Where worker-seconds went, as text: a line of the whole, and a row for each phase. Decides the words of the
// phases, and that the whole is compared with the time for which the workers were there.

import { formatPercent, formatSeconds } from '../../../core/report/format.ts';
import { PHASE_FIELDS, type TimePhase } from '../../../core/worker-time.ts';
import type { Goodput, PhaseSeconds } from '../../../proto/gen/pocketfleet/v1/fleet.ts';
import { table } from './table.ts';

const WORDS: Readonly<Record<TimePhase, string>> = {
  compute: 'compute',
  teacher_pass: "teacher's pass",
  evaluate: 'evaluate',
  data_wait: 'data wait',
  teacher_wait: 'teacher wait',
  reduce_wait: 'reduce wait',
  checkpoint: 'checkpoint',
  prepare: 'prepare',
  paused: 'paused',
  lost: 'lost',
  idle: 'idle',
};

interface Row {
  readonly word: string;
  readonly seconds: number;
}

function rowsOf({ seconds, pruned }: Goodput): Row[] {
  const rows = PHASE_FIELDS.map(([phase, field]) => ({ word: WORDS[phase], seconds: seconds?.[field] ?? 0 }));
  return pruned === undefined ? rows : [...rows, { word: 'pruned', seconds: sumOfPhases(pruned) }];
}

/** Seconds of all phases. */
export const sumOfPhases = (seconds: PhaseSeconds): number =>
  PHASE_FIELDS.reduce((sum, [, field]) => sum + seconds[field], 0);

const totalOf = (rows: readonly Row[]): number => rows.reduce((sum, { seconds }) => sum + seconds, 0);

const BAR_WIDTH = 24;

/** The lines of one answer. */
export function goodputText(goodput: Goodput): string {
  const { kind, id, name, wallSeconds } = goodput;
  const rows = rowsOf(goodput);
  const total = totalOf(rows);
  const share = (seconds: number) => (total === 0 ? 0 : seconds / total);
  const what = kind === 'fleet' ? 'fleet' : [kind, id, name].filter((word) => word !== '').join(' ');
  const wall =
    wallSeconds === 0
      ? ''
      : `; they were there for ${formatSeconds(wallSeconds)}, ${formatPercent(total / wallSeconds, 2)} of it is known`;
  return [
    `${what}: ${formatSeconds(total)} of workers${wall}`,
    '',
    table(rows, [
      { head: 'PHASE', cell: ({ word }) => word },
      { head: 'TIME', align: 'right', cell: ({ seconds }) => formatSeconds(seconds) },
      { head: 'SHARE', align: 'right', cell: ({ seconds }) => formatPercent(share(seconds)) },
      { head: '', cell: ({ seconds }) => '#'.repeat(Math.round(BAR_WIDTH * share(seconds))) },
    ]),
  ].join('\n');
}
