// Which looks at data sets begin and which are given up. Decides that from how long ago each made progress:
// one that stands still, as on a file system that is away, takes no place from others after a while, and is
// given up after a long one. There is no deadline: a large set takes the time that it takes. Pure.

export interface LookLimits {
  /** Looks that make progress at once; each takes up to 200 MB. */
  readonly atOnce: number;
  /** After so long without progress a look takes no place from others, milliseconds. */
  readonly idleAfterMs: number;
  /** After so long without progress it is given up, milliseconds. */
  readonly givenUpAfterMs: number;
}

export interface LookProgress {
  /** When it last made progress, monotonic milliseconds; undefined while it waits for its turn. */
  readonly progressMs: number | undefined;
}

/**
 * `looks`: oldest first. `standing`: to be given up; `starting`: to begin now, with the places that are free
 * without those.
 */
export function decideLooks<L extends LookProgress>(
  looks: readonly L[],
  now: number,
  limits: LookLimits,
): { readonly standing: readonly L[]; readonly starting: readonly L[] } {
  const quietMs = ({ progressMs = now }: L) => now - progressMs;
  const inHand = looks.filter(({ progressMs }) => progressMs !== undefined);
  const moving = inHand.filter((look) => quietMs(look) < limits.idleAfterMs).length;
  return {
    standing: inHand.filter((look) => quietMs(look) > limits.givenUpAfterMs),
    starting: looks
      .filter(({ progressMs }) => progressMs === undefined)
      .slice(0, Math.max(0, limits.atOnce - moving)),
  };
}
