// Whether a worker is still there: a judgement on when it was last heard, with its reason. Pure; who is asked and what
// follows from a loss is the driver's and step.ts'.
//
// A worker is lost when its process is known to have gone (its stream ended and it did not dial again), or when both the
// time and the missed-report budget are spent. After a start of the coordinator everybody gets longer, because it was the
// coordinator that was deaf.

export interface Presence {
  /** Last report on its stream, or the start of the coordinator. */
  readonly lastSeenMs: number;
  /** When its stream ended; undefined while it is attached. */
  readonly detachedAtMs?: number;
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
 * How long a worker whose stream ended may take to dial again while the coordinator is up: a re-dial takes 0.1 s. This is most
 * of the time between the death of a process and the next step of its gang; one that lives and is late only costs its
 * gang a generation more.
 */
export const REDIAL_GRACE_MS = 300;

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
  return `${(ms / 1000).toFixed(1)} s`;
}
