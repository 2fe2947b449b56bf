// Results of another sweep that a search begins with. Decides how its trials are numbered beside those of the search:
// below zero, in their own order, so that both can be named.

/** A result that is known before the first move. */
export interface Prior {
  /** The number of the trial in its own sweep, from 1 to 1,000,000. */
  readonly trial: number;
  readonly key: string;
  /** In the order of the search's objectives, each so that more is better. */
  readonly scores: readonly number[];
}

/** More than a sweep has trials. */
const BEYOND = 1_000_001;

/** The number by which a search knows the trial of another sweep: -1,000,000 to -1, later ones higher. */
export const priorNumber = (trial: number): number => trial - BEYOND;

/** A trial of a search in words; `from`: the sweep that the search begins with. */
export function trialText(number: number, from: string | undefined): string {
  return number > 0 ? `trial ${number}` : `trial ${number + BEYOND} of ${from ?? 'another sweep'}`;
}
