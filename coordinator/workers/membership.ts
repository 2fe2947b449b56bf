// Whether a worker is still there: a judgement on when it was last heard of, with its reason. Pure.
//
// A worker is lost when its process is known to have gone (its stream ended, and it is gone from the broker
// as well or did not dial again), or when both the time and the missed-report budget are spent. Two things
// are excused, because they are about this process and not about the worker: after a start of the coordinator
// everybody has longer, since it was the coordinator that was deaf; and time in which this process did not
// run does not count as anybody's silence.
//
// All times here are milliseconds on the monotonic clock, unless a comment says otherwise.

import type { LossCause } from '../model/state.ts';

/** What is known of one process of a worker. */
export interface Presence {
  /** Last report on its stream, or the start of the coordinator. */
  readonly lastSeenMs: number;
  /** When its stream ended; undefined while it is attached. */
  readonly detachedAtMs?: number;
  /** Its stream ended, and it has no connection to the broker either. */
  readonly absent?: boolean;
  /** It reported that it drains: the end of its stream is its farewell. */
  readonly draining: boolean;
  /** It has not been on a stream since this coordinator started. */
  readonly awaited: boolean;
}

/** A process of a worker as this coordinator knows it. */
export interface Known {
  /** Random at each start of the process. */
  readonly incarnation: string;
  readonly isAttached: boolean;
  readonly presence: Presence;
}

/** How long a silence may be, milliseconds. */
export interface PresenceLimits {
  /** How often a worker reports. */
  readonly heartbeatIntervalMs: number;
  /** Reports that may be missed in a row. */
  readonly heartbeatsMissedMax: number;
  /** How long a worker that is awaited has to come back. */
  readonly reattachGraceMs: number;
}

/**
 * How long a worker whose stream ended may take to dial again while the coordinator is up; a re-dial takes
 * 0.1 s. One that is gone from the broker too is not waited for, because its gang stands still meanwhile.
 */
export const REDIAL_GRACE_MS = 1_000;

/** Why a worker is lost: as one of a closed list, and in words. */
export interface Loss {
  readonly cause: LossCause;
  readonly reason: string;
}

/** Why a worker is lost, or undefined while it counts as there. */
export function lossOf(presence: Presence, now: number, limits: PresenceLimits): Loss | undefined {
  const silentMs = now - presence.lastSeenMs;
  const lost = (cause: LossCause, reason: string): Loss => ({ cause, reason });
  if (presence.awaited) {
    return silentMs >= limits.reattachGraceMs
      ? lost(
          'not_back',
          `did not come back within ${seconds(limits.reattachGraceMs)} after the coordinator's start`,
        )
      : undefined;
  }
  if (presence.detachedAtMs !== undefined) {
    if (presence.draining) return lost('drained', 'left after draining');
    const awayMs = now - presence.detachedAtMs;
    if (presence.absent)
      return lost(
        'stream_ended',
        `its stream ended, and ${seconds(awayMs)} later it was gone from the broker too`,
      );
    return awayMs >= REDIAL_GRACE_MS
      ? lost('stream_ended', `its stream ended and it did not dial again within ${seconds(awayMs)}`)
      : undefined;
  }
  const missed = Math.floor(silentMs / limits.heartbeatIntervalMs);
  return missed > limits.heartbeatsMissedMax
    ? lost(
        'silent',
        `silent for ${seconds(silentMs)}: ${missed} reports missed, ${limits.heartbeatsMissedMax} allowed`,
      )
    : undefined;
}

/**
 * Why a process may not take this worker id now, or undefined when it may: two living processes must not
 * share an id.
 */
export function refusalOf(
  hello: { readonly workerId: string; readonly incarnation: string },
  before: Known | undefined,
  now: number,
  limits: PresenceLimits,
): string | undefined {
  if (before === undefined || !before.isAttached || before.incarnation === hello.incarnation)
    return undefined;
  // One that was heard of lately is alive. One that was not may have died without its stream's end having
  // been noticed.
  const silentMs = now - before.presence.lastSeenMs;
  return silentMs < 2 * limits.heartbeatIntervalMs
    ? `worker id ${hello.workerId} is in use by another living process; give each worker an id of its own`
    : undefined;
}

/**
 * A process that attaches now. `predecessorGoneAtMs`: when an earlier process of this worker was last there;
 * undefined when there was none, or none that this coordinator has seen. A process that dials again keeps
 * that it drains.
 */
export function attachedNow(
  incarnation: string,
  before: Known | undefined,
  now: number,
): { readonly presence: Presence; readonly predecessorGoneAtMs: number | undefined } {
  const isSame = before?.incarnation === incarnation;
  const draining = isSame && before.presence.draining;
  const wasSeen = before !== undefined && !isSame && !before.presence.awaited;
  return {
    presence: { lastSeenMs: now, draining, awaited: false },
    predecessorGoneAtMs: wasSeen ? goneAtMs(before.presence) : undefined,
  };
}

/** When it was last there: the end of its stream, or its last report. */
export function goneAtMs({ detachedAtMs, lastSeenMs }: Presence): number {
  return detachedAtMs ?? lastSeenMs;
}

/**
 * The presence without the time for which this process did not run: what a worker sent meanwhile is still in
 * the sockets. `deafMs`: how long that was.
 */
export function excused(presence: Presence, deafMs: number, now: number): Presence {
  const { lastSeenMs, detachedAtMs } = presence;
  const later = (ms: number) => Math.min(now, ms + deafMs);
  return {
    ...presence,
    lastSeenMs: later(lastSeenMs),
    ...(detachedAtMs === undefined ? {} : { detachedAtMs: later(detachedAtMs) }),
  };
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(ms < 1000 ? 2 : 1)} s`;
}
