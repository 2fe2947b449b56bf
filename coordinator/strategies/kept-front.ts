// The front of a search as its results come, one after the other, and no larger than its bound. Decides which member of a
// front that is too large goes. Pure.

import { crowdingOf, dominates, type Scores } from '../../core/search/pareto.ts';

/** A result on a front. */
export interface OnFront {
  readonly id: string;
  readonly scores: Scores;
}

/**
 * The front with one more result: where no member equals or dominates it, it takes the place of those that it dominates;
 * beyond `most` members the most crowded goes, of equally crowded ones the oldest.
 */
export function frontWith(front: readonly OnFront[], own: OnFront, most: number): readonly OnFront[] {
  const isNothingNew = front.some(({ scores }) => scores.every((score, at) => score >= own.scores[at]!));
  if (isNothingNew) return front;
  const grown = [...front.filter(({ scores }) => !dominates(own.scores, scores)), own];
  if (grown.length <= most) return grown;
  const room = crowdingOf(grown.map(({ scores }) => scores));
  const least = room.indexOf(Math.min(...room));
  return grown.filter((_, at) => at !== least);
}
