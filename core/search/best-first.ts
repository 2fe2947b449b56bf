// The order "best first" of networks that were trained and verified. The winner of a sweep, the winner of a
// plan and every list and table take this one order, so that the network that goes on is the one that every
// table shows on top.

/** What the order looks at: a trial of a sweep, or a trained run. */
export interface Ranked {
  /**
   * Verification accuracy, 0 to 1; undefined or not finite where there is no result (it failed, or has not
   * ended).
   */
  readonly objective?: number | undefined;
  readonly parameters: number;
  /** Place in the order of creation, unique among those compared. */
  readonly number: number;
}

/**
 * Negative when `a` is the better one: higher objective, then fewer parameters, because a phone has to hold
 * them, then the earlier one, so that the order is total. Those without a result come last, in the order of
 * creation.
 */
export function bestFirst(a: Ranked, b: Ranked): number {
  const [scoreA, scoreB] = [scoreOf(a), scoreOf(b)];
  if (scoreA === undefined || scoreB === undefined)
    return Number(scoreA === undefined) - Number(scoreB === undefined) || a.number - b.number;
  return scoreB - scoreA || a.parameters - b.parameters || a.number - b.number;
}

/** A run as the order sees it; `number` is its place among those that it is compared with. */
export function rankedRun(
  run: {
    readonly evaluation?: { readonly accuracy: number } | undefined;
    readonly parameters: number;
  },
  number: number,
): Ranked {
  return { objective: run.evaluation?.accuracy, parameters: run.parameters, number };
}

function scoreOf({ objective }: Ranked): number | undefined {
  return objective !== undefined && Number.isFinite(objective) ? objective : undefined;
}
