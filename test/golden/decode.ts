// Checks reading genotypes from alphas by both ranking rules, edge by edge and exactly.

import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { type Alphas, decodeAlphas, type RankingRule } from '../../core/nn/decode.ts';
import { OPS } from '../../core/spec/network.ts';
import { type CheckRow, row } from './verification.ts';

interface GoldenGenotype {
  normal: [string, number][][];
  reduce: [string, number][][];
}
interface GoldenCase {
  name: string;
  alphas: Alphas;
  genotype_by_raw_alpha: GoldenGenotype;
  genotype_by_softmax_weight?: GoldenGenotype;
}

export function checkDecode(path: string): CheckRow[] {
  const golden = JSON.parse(readFileSync(path, 'utf8')) as { ops: string[]; cases: GoldenCase[] };
  const columns = golden.ops.filter((op, column) => op !== OPS[column]).length;
  const rows = [row(path, 'order of the ops', columns + Math.abs(golden.ops.length - OPS.length), 0)];
  for (const { name, alphas, ...wanted } of golden.cases) {
    const compare = (rule: RankingRule, genotype: GoldenGenotype | undefined) => {
      if (genotype)
        rows.push(row(path, `${name}: ${rule}, differing edges`, differing(alphas, rule, genotype), 0));
    };
    compare('raw', wanted.genotype_by_raw_alpha);
    compare('softmax', wanted.genotype_by_softmax_weight);
  }
  return rows.map((one) => ({ ...one, file: basename(path) }));
}

function differing(alphas: Alphas, rule: RankingRule, wanted: GoldenGenotype): number {
  const got = decodeAlphas(alphas, rule);
  const edges = (cell: readonly (readonly (readonly [string, number])[])[]) =>
    cell.flat().map((edge) => edge.join());
  const differences = (a: string[], b: string[]) =>
    Math.abs(a.length - b.length) + a.filter((edge, i) => edge !== b[i]).length;
  return (
    differences(edges(got.normal), edges(wanted.normal)) +
    differences(edges(got.reduce), edges(wanted.reduce))
  );
}
