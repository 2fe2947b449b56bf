// How far the students of an order are, as they say while they take embeddings, and which steps whoever computes
// embeddings for them works on: at most a window ahead of the slowest. Places travel over core NATS and are kept
// nowhere. A student that says nothing for a while counts no more: it has ended, waits for its teacher or has been
// stopped, and nobody waits for it.

import type { NatsConnection } from '../../core/net/nats.ts';
import type { Names } from '../../core/net/subjects.ts';
import { createThrottle } from '../training/rate.ts';

/** A student says its place so often at most, milliseconds. */
const SAID_MS = 200;
/** A place that was not said again counts for so long, milliseconds. */
const PLACE_MS = 10_000;

/** Says the place of a student: the step whose embeddings it takes. */
export function createPlaceTelling(options: {
  readonly connection: Pick<NatsConnection, 'publish' | 'isClosed'>;
  readonly names: Names;
  /** Token of the order (`orderToken`). */
  readonly order: string;
  readonly runId: string;
  readonly now: () => number;
}): (step: number) => void {
  const { connection, names, order, runId, now } = options;
  const subject = names.blockPlaceSubject(order, runId);
  const isDue = createThrottle({ monotonic: now }, SAID_MS);
  return (step) => {
    if (isDue() && !connection.isClosed()) connection.publish(subject, String(step));
  };
}

/** Places that are heard. */
export interface Places {
  /** The step of the slowest student that was heard of late; undefined: none was. */
  slowest(): number | undefined;
  close(): void;
}

/** Listens to the students of an order. */
export function hearPlaces(options: {
  readonly connection: Pick<NatsConnection, 'subscribe'>;
  readonly names: Names;
  readonly order: string;
  readonly now: () => number;
}): Places {
  const { connection, names, order, now } = options;
  const heard = new Map<string, { readonly step: number; readonly at: number }>();
  const subscription = connection.subscribe(names.blockPlaceSubject(order, '*'), {
    callback: (error, message) => {
      const step = error === null ? Number(message.string()) : Number.NaN;
      if (Number.isInteger(step) && step >= 0) heard.set(message.subject, { step, at: now() });
    },
  });
  return {
    slowest() {
      const since = now() - PLACE_MS;
      let slowest: number | undefined;
      for (const [who, { step, at }] of heard)
        if (at < since) heard.delete(who);
        else slowest = Math.min(slowest ?? step, step);
      return slowest;
    },
    close: () => subscription.unsubscribe(),
  };
}

/** Steps that are computed ahead of the slowest student. */
const WINDOW_STEPS_MAX = 100;
/** Bytes of blocks that are computed ahead of it. */
const WINDOW_BYTES_MAX = 64 * 2 ** 20;

/** The window of an order, steps. `stepBytes`: of the blocks of one step. */
export function windowOf(stepBytes: number): number {
  return Math.max(2, Math.min(WINDOW_STEPS_MAX, Math.floor(WINDOW_BYTES_MAX / stepBytes)));
}

/** Where work goes on. */
export interface Course {
  /** The next step to compute. */
  readonly next: number;
  /** The slowest student when that was decided. */
  readonly slowest: number;
}

/**
 * The step to compute next, or undefined where there is none within the window. A student that begins, or begins again
 * from a checkpoint, brings the course back to it: what is there still is passed over.
 */
export function courseAfter(
  course: Course | undefined,
  seen: { readonly slowest: number | undefined; readonly window: number; readonly stepsTotal: number },
): Course | undefined {
  const { slowest, window, stepsTotal } = seen;
  if (slowest === undefined) return undefined;
  const next = course === undefined || slowest < course.slowest ? slowest : Math.max(course.next, slowest);
  return next < stepsTotal && next < slowest + window ? { next, slowest } : undefined;
}
