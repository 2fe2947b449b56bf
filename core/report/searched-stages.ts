// What a search has found, stage by stage, in the form in which charts and drawings take it. Decides which stages are
// drawn as one: those in a row whose cells are the same.

import type { Checkpoint } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { edgesChanged } from '../search/drift.ts';
import { type Genotype, genotypeSchema } from '../spec/network.ts';

/** What the alphas of a stage stand for. */
export interface SearchedStage {
  /** From 1. */
  readonly stage: number;
  readonly genotype: Genotype;
  /** Edges of both cells that the stage before did not have; undefined where that is not known. */
  readonly changed: number | undefined;
  /** Skip connections of the normal cell. */
  readonly skips: number;
  /** [2 x 14 x 8]: those of the normal cell, then of the reduction cell; undefined where they are not known. */
  readonly alphas: readonly number[] | undefined;
}

/** The stages of a search among the checkpoints of a run, ascending; none of a run of another kind. */
export function searchedStages(checkpoints: readonly Checkpoint[]): SearchedStage[] {
  return checkpoints
    .flatMap(({ stage, found }) =>
      found === undefined
        ? []
        : [
            {
              stage,
              genotype: genotypeSchema.parse(JSON.parse(found.genotypeJson)),
              changed: found.changedEdges,
              skips: found.skips,
              alphas: found.alphas.length === 0 ? undefined : found.alphas,
            },
          ],
    )
    .sort((a, b) => a.stage - b.stage);
}

/** Stages in a row with the same cells. */
export interface CellsInARow {
  readonly first: number;
  readonly last: number;
  readonly genotype: Genotype;
}

/** All stages, where one whose cells are those of the stage before goes with it. */
export function cellsInARow(stages: readonly SearchedStage[]): CellsInARow[] {
  const rows: CellsInARow[] = [];
  for (const { stage, genotype } of stages) {
    const before = rows.at(-1);
    const goesOn =
      before !== undefined && before.last === stage - 1 && edgesChanged(before.genotype, genotype) === 0;
    if (goesOn) rows[rows.length - 1] = { ...before, last: stage };
    else rows.push({ first: stage, last: stage, genotype });
  }
  return rows;
}

/** `epoch 3` or `epochs 3 to 7`. */
export const epochsText = ({ first, last }: Pick<CellsInARow, 'first' | 'last'>): string =>
  first === last ? `epoch ${first}` : `epochs ${first} to ${last}`;

/** The alphas of both cells by stage; undefined where those of a stage are not known. */
export function alphasOverStages(
  stages: readonly SearchedStage[],
): Readonly<Record<'normal' | 'reduce', readonly (readonly number[])[]>> | undefined {
  const all = stages.map(({ alphas }) => alphas);
  if (all.length === 0 || all.some((one) => one === undefined)) return undefined;
  const half = (first: 0 | 1) =>
    all.map((one) => one!.slice((first * one!.length) / 2, ((first + 1) * one!.length) / 2));
  return { normal: half(0), reduce: half(1) };
}
