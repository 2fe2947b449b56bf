// Whether a worker is still there: a judgement on when it was last heard, with its reason. Pure; who is asked and what
// follows from a loss is the driver's and step.ts'.
//
// A worker is lost when its process is known to have gone (its stream ended, and it is gone from the broker as well or did
// not dial again), or when both the time and the missed-report budget are spent. After a start of the coordinator everybody gets longer, because it was the
// coordinator that was deaf.

export interface Presence {
  /** Last report on its stream, or the start of the coordinator. */
  readonly lastSeenMs: number;
  /** When its stream ended; undefined while it is attached. */
  readonly detachedAtMs?: number;
  /** Its stream ended, and the broker says that it has no connection there either. */
  readonly absent?: boolean;
  /** It said that it drains: the end of its stream is its farewell. */
  readonly draining: boolean;
  /** It has not been on a stream since this coordinator started. */
  readonly awaited: boolean;
}

export interface PresenceLimits {
  readonly heartbeatIntervalMs: number;
  readonly heartbeatsMissedMax: number;
  readonly reattachGraceMs: number;
}

/**
 * How long a worker whose stream ended may take to dial again while the coordinator is up, as long as it may be there: a re-dial
 * takes 0.1 s. One that is gone from the broker too is not waited for, because its gang stands still meanwhile.
 */
export const REDIAL_GRACE_MS = 1_000;

/** The reason why it is lost, or undefined while it counts as there. */
export function lossOf(presence: Presence, now: number, limits: PresenceLimits): string | undefined {
  const silentMs = now - presence.lastSeenMs;
  if (presence.awaited) {
    return silentMs >= limits.reattachGraceMs
      ? `did not come back within ${seconds(limits.reattachGraceMs)} after the coordinator's start`
      : undefined;
  }
  if (presence.detachedAtMs !== undefined) {
    if (presence.draining) return 'left after draining';
    const awayMs = now - presence.detachedAtMs;
    if (presence.absent)
      return `its stream ended, and ${seconds(awayMs)} later it was gone from the broker too`;
    return awayMs >= REDIAL_GRACE_MS
      ? `its stream ended and it did not dial again within ${seconds(awayMs)}`
      : undefined;
  }
  const missed = Math.floor(silentMs / limits.heartbeatIntervalMs);
  return missed > limits.heartbeatsMissedMax
    ? `silent for ${seconds(silentMs)}: ${missed} reports missed, ${limits.heartbeatsMissedMax} allowed`
    : undefined;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(ms < 1000 ? 2 : 1)} s`;
}
