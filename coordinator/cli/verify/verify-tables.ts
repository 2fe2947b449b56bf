// Verifications as tables: one for pair sets, one for IJB, one for MegaFace, in the columns that papers
// print.

import { formatCount, formatNumber, formatPercent, UNKNOWN } from '../../../core/report/format.ts';
import type { IjbReport, MegafaceReport, PairReport, SetReport } from '../../../core/verify/report.ts';
import { type Column, table } from '../screen/table.ts';

export function verificationText(sets: readonly SetReport[]): string {
  const pairs = sets.filter((set): set is PairReport => set.kind === 'pairs');
  const ijb = sets.filter((set): set is IjbReport => set.kind === 'ijb');
  const megaface = sets.filter((set): set is MegafaceReport => set.kind === 'megaface').flatMap(megafaceRows);
  return [
    ...(pairs.length > 0 ? [table(pairs, PAIR_COLUMNS)] : []),
    ...(ijb.length > 0 ? [table(ijb, ijbColumns(ijb[0]!))] : []),
    ...(megaface.length > 0 ? [table(megaface, MEGAFACE_COLUMNS)] : []),
  ].join('\n\n');
}

const percent = (value: number | null | undefined): string =>
  typeof value === 'number' ? formatPercent(value, 2) : UNKNOWN;

const PAIR_COLUMNS: readonly Column<PairReport>[] = [
  { head: 'SET', cell: (set) => set.name },
  { head: 'ACCURACY', align: 'right', cell: (set) => percent(set.accuracy) },
  { head: '±', align: 'right', cell: (set) => percent(set.accuracyStd) },
  { head: 'TPR@FPR 1e-3', align: 'right', cell: (set) => percent(set.tprAtFpr.tpr) },
  ...([1e-2, 1e-3, 1e-4] as const).map(
    (far): Column<PairReport> => ({
      head: `TAR@FAR ${far.toExponential(0)}`,
      align: 'right',
      cell: (set) => percent(set.tarAtFar.find((point) => point.far === far)?.tar),
    }),
  ),
  { head: 'EER', align: 'right', cell: (set) => percent(set.eer) },
  { head: 'AUC', align: 'right', cell: (set) => formatNumber(set.auc, 4) },
  { head: 'XNORM', align: 'right', cell: (set) => formatNumber(set.xnorm, 3) },
  { head: 'PAIRS', align: 'right', cell: (set) => formatCount(set.pairs) },
];

function ijbColumns(first: IjbReport): readonly Column<IjbReport>[] {
  return [
    { head: 'SET', cell: (set) => `${set.name} (${set.set})` },
    ...first.tarAtFar.map(
      ({ target }): Column<IjbReport> => ({
        head: `TAR@FAR ${target.toExponential(0)}`,
        align: 'right',
        cell: (set) => percent(set.tarAtFar.find((point) => point.target === target)?.tar),
      }),
    ),
    { head: 'GENUINE', align: 'right', cell: (set) => formatCount(set.genuinePairs) },
    { head: 'IMPOSTOR', align: 'right', cell: (set) => formatCount(set.impostorPairs) },
  ];
}

interface MegafaceRow {
  readonly name: string;
  readonly result: MegafaceReport['result'];
  readonly distractors: number;
}

function megafaceRows({ name, result, refined, distractors }: MegafaceReport): MegafaceRow[] {
  const rows = [{ name, result, distractors }];
  return refined === undefined ? rows : [...rows, { name: `${name} (R)`, result: refined, distractors }];
}

const MEGAFACE_COLUMNS: readonly Column<MegafaceRow>[] = [
  { head: 'SET', cell: (row) => row.name },
  ...[1, 10].map(
    (rank): Column<MegafaceRow> => ({
      head: `RANK ${rank}`,
      align: 'right',
      cell: (row) => percent(row.result.identification.find((point) => point.rank === rank)?.rate),
    }),
  ),
  ...[1e-6, 1e-5, 1e-4].map(
    (far): Column<MegafaceRow> => ({
      head: `TAR@FAR ${far.toExponential(0)}`,
      align: 'right',
      cell: (row) => percent(row.result.verification.find((point) => point.far === far)?.tar),
    }),
  ),
  { head: 'SEARCHES', align: 'right', cell: (row) => formatCount(row.result.searches) },
  { head: 'DISTRACTORS', align: 'right', cell: (row) => formatCount(row.distractors) },
];
