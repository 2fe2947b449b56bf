// Screening of a search: candidates come in groups, each of them is scored at its initial weights, and the best of a
// group become evaluations, in the order in which they were drawn. Pure. Decides the order by several scores: the mean
// of the ranks.

import type { Costs } from '../../core/nn/space.ts';
import { type ScoreName, type ScreeningSpec, scoresIn } from '../../core/spec/screening.ts';
import type { Fidelity } from './fidelity.ts';

/** A score of a candidate. Higher is better. */
export interface Score {
  readonly name: ScoreName;
  readonly value: number;
}

/** What became of the scoring of a candidate. */
export interface ScoredCandidate {
  /** In its group, from 0. */
  readonly place: number;
  readonly scores: readonly Score[];
  /** Why a score is missing. */
  readonly reason?: string;
}

/** A candidate that was drawn and is no trial yet. */
export interface Candidate {
  /** Key of the canonical genotype. */
  readonly genotype: string;
  readonly costs: Costs;
  /** As of the event of a trial. */
  readonly why?: string;
  readonly parents?: readonly number[];
  readonly fidelity?: Fidelity;
}

/** The candidates that are drawn together. */
export interface Group {
  /** From 1 within the search. */
  readonly number: number;
  readonly candidates: readonly (Candidate & { readonly scored?: Omit<ScoredCandidate, 'place'> })[];
  /** No further candidate joins it. */
  readonly isDrawn: boolean;
  /** Places of those that are to be evaluated and are not yet, ascending; absent until all have been scored. */
  readonly left?: readonly number[];
}

/** How far the screening of a search is; plain JSON. */
export interface Screening {
  /** Groups so far, the open one included. */
  readonly groups: number;
  /** Candidates that were drawn, and those that are not evaluated. */
  readonly drawn: number;
  readonly cut: number;
  readonly group?: Group;
}

export const NO_SCREENING: Screening = { groups: 0, drawn: 0, cut: 0 };

/** With more candidates in the open group, or a new one. */
export function withDrawn(
  { groups, drawn, cut, group }: Screening,
  candidates: readonly Candidate[],
  isDrawn: boolean,
): Screening {
  const { number, candidates: before } = group ?? { number: groups + 1, candidates: [] };
  return {
    ...{ groups: number, drawn: drawn + candidates.length, cut },
    group: { number, candidates: [...before, ...candidates], isDrawn },
  };
}

/** With scores of the open group; `cut`: the candidates that are not evaluated, once all have scores. */
export function withScores(
  screening: Screening,
  spec: ScreeningSpec,
  scores: readonly ScoredCandidate[],
): { readonly screening: Screening; readonly cut: readonly Candidate[] } {
  const { group } = screening;
  if (group === undefined) return { screening, cut: [] };
  const candidates = [...group.candidates];
  for (const { place, ...scored } of scores) candidates[place] = { ...candidates[place]!, scored };
  const grown = { ...group, candidates };
  if (!isScored(grown)) return { screening: { ...screening, group: grown }, cut: [] };
  const left = bestOf(grown, spec);
  const cut = candidates.filter((_, place) => !left.includes(place));
  return {
    screening: { ...screening, cut: screening.cut + cut.length, group: { ...grown, left } },
    cut,
  };
}

/** After the evaluation of the first that is left; without the group when it was the last one. */
export function withoutFirst({ group, ...screening }: Screening): Screening {
  const left = group?.left?.slice(1) ?? [];
  return group === undefined || left.length === 0 ? screening : { ...screening, group: { ...group, left } };
}

const isScored = ({ candidates, isDrawn }: Group): boolean =>
  isDrawn && candidates.every(({ scored }) => scored !== undefined);

/** Places of the best, ascending; of equal ones the earlier. */
function bestOf(group: Group, spec: ScreeningSpec): number[] {
  const count = Math.ceil(spec.keep * group.candidates.length);
  const ranks = meanRanks(group, spec);
  return ranks
    .map((rank, place) => ({ rank, place }))
    .sort((a, b) => a.rank - b.rank || a.place - b.place)
    .slice(0, count)
    .map(({ place }) => place)
    .sort((a, b) => a - b);
}

/** Of each candidate its ranks by the scores, from 1, on average; one without a score is behind all that have it. */
function meanRanks({ candidates }: Group, spec: ScreeningSpec): number[] {
  const names = scoresIn(spec);
  const sums = new Array<number>(candidates.length).fill(0);
  for (const name of names) {
    const values = candidates.map(
      ({ scored }) => scored?.scores.find((one) => one.name === name)?.value ?? Number.NEGATIVE_INFINITY,
    );
    values.forEach((value, at) => {
      sums[at]! += 1 + values.filter((other) => other > value).length;
    });
  }
  return sums.map((sum) => sum / names.length);
}

/** What a trial keeps of its screening. */
export interface Screened {
  readonly group: number;
  /** In its group, from 1; equal ones share the best of theirs. */
  readonly rank: number;
  /** Candidates of its group, and how many of them are evaluated. */
  readonly of: number;
  readonly kept: number;
  readonly scores: readonly Score[];
  /** Why a score is missing. */
  readonly reason?: string;
}

/** The screening of a candidate of a group whose scores are all there. */
export function screenedAt(group: Group, place: number, spec: ScreeningSpec): Screened {
  const ranks = meanRanks(group, spec);
  const { scores = [], reason } = group.candidates[place]!.scored ?? {};
  return {
    ...{ group: group.number, rank: 1 + ranks.filter((rank) => rank < ranks[place]!).length },
    ...{ of: ranks.length, kept: Math.ceil(spec.keep * ranks.length) },
    scores,
    ...(reason === undefined ? {} : { reason }),
  };
}

/** In words: `synflow 103.21: rank 3 of 64, of which 16 are evaluated`. */
export function screenedText({ group, rank, of, kept, scores, reason }: Screened): string {
  const text = [
    ...scores.map(({ name, value }) => `${name} ${value.toPrecision(6)}`),
    ...(reason === undefined ? [] : [`a score is missing (${reason})`]),
  ].join(', ');
  return `${text}: rank ${rank} of the ${of} of group ${group}, of which ${kept} are evaluated`;
}
