// Where a block of teacher embeddings comes from that this worker does not have: from the stream that all workers of
// the fleet share, or computed here and published there. Decides how long a student waits for somebody else's
// computation: twice the time that it takes, and then it computes the block itself. So nothing waits for ever, whoever
// is killed, stopped or slow, and a member never holds its gang up for longer than its own computation would.

import type { Clock } from '../../core/clock.ts';
import type { BlockKey } from './teacher-blocks.ts';

/** What stands at the place of a block. */
export type Found =
  | { readonly kind: 'block'; readonly values: Float32Array; readonly by: string }
  /** Somebody computes it. `forMs`: how long that takes, as they say. */
  | { readonly kind: 'claim'; readonly sequence: number; readonly by: string; readonly forMs: number }
  | { readonly kind: 'nothing' }
  /** A message that is no block of this key, and why. */
  | { readonly kind: 'damaged'; readonly sequence: number; readonly reason: string }
  /** The stream cannot be asked. */
  | { readonly kind: 'away' };

/** The stream of blocks that the workers of a fleet share, as one run uses it. */
export interface BlockStream {
  look(key: BlockKey, values: number): Promise<Found>;
  /**
   * Announces that this run computes the block within `forMs`. `over`: sequence of the message that is replaced, 0 for
   * none. Resolves with false when another one was first.
   */
  claim(key: BlockKey, claim: { readonly over: number; readonly forMs: number }): Promise<boolean>;
  /** Stores a block; resolves with false where that was not possible. */
  publish(key: BlockKey, values: Float32Array): Promise<boolean>;
}

/** How a block was come by. */
export interface Supplied {
  readonly values: Float32Array;
  readonly source: 'computed' | 'fetched';
}

export interface BlockSupply {
  /** An embedding run computes ahead of whoever takes blocks here, so that few are computed here. */
  readonly isFed: boolean;
  /**
   * Waits for a bounded time only, and nobody can end that: other students of this worker may wait for the same block.
   * `length`: values of the block. `compute` gives the same bits as whoever else computes it.
   */
  obtain(key: BlockKey, length: number, compute: () => Promise<Float32Array>): Promise<Supplied>;
  /** The longest that `obtain` may take by what is known now, milliseconds. */
  allowanceMs(): number;
  /** Computes and publishes the block without a wait, unless somebody else has it or computes it. */
  make(key: BlockKey, length: number, compute: () => Promise<Float32Array>): Promise<Made>;
}

/** `made`: here. `there`: somebody else has it or computes it. `away`: the stream is, and nothing was computed. */
export type Made = 'made' | 'there' | 'away';

/** What happens to blocks, for the metrics. */
export type BlockEvent = 'published' | 'unpublished' | 'damaged' | 'taken_over';

/** Announced by whoever has not computed one yet, which includes the compilation of its graph, milliseconds. */
const FIRST_MS = 2_000;
/** No announcement counts for more, milliseconds. */
const ANNOUNCED_MS_MAX = 30_000;
/** So long after a block or claim of an embedding run it is taken to be there, milliseconds. */
const POOL_MS = 10_000;

export function createBlockSupply(options: {
  readonly stream: BlockStream;
  /** Says how far a student is. */
  readonly onStep: (step: number) => void;
  readonly clock: Clock;
  /** The embedding run of this order; undefined where there is none, or it is the one that asks. */
  readonly poolRunId: string | undefined;
  readonly onEvent: (event: BlockEvent, reason?: string) => void;
}): BlockSupply {
  const { stream, clock, poolRunId, onStep, onEvent } = options;
  /** Of the last computation here, milliseconds. */
  let ownMs: number | undefined;
  let poolSeenAt = clock.monotonic();
  /** Of the last claim that was seen, milliseconds. */
  let announcedMs = 0;

  const note = (found: Found) => {
    if (found.kind === 'claim') announcedMs = found.forMs;
    if ((found.kind === 'block' || found.kind === 'claim') && found.by === poolRunId)
      poolSeenAt = clock.monotonic();
  };
  const look = async (key: BlockKey, length: number) => {
    const found = await stream.look(key, length);
    note(found);
    return found;
  };
  /** The claim is made; the block is not awaited by whoever gets the values. */
  const computed = async (key: BlockKey, compute: () => Promise<Float32Array>): Promise<Supplied> => {
    const begunAt = clock.monotonic();
    const values = await compute();
    ownMs = clock.monotonic() - begunAt;
    void stream.publish(key, values).then((isDone) => onEvent(isDone ? 'published' : 'unpublished'));
    return { values, source: 'computed' };
  };
  const claim = (key: BlockKey, found: Found) =>
    found.kind === 'away'
      ? Promise.resolve(true)
      : stream.claim(key, {
          over: 'sequence' in found ? found.sequence : 0,
          forMs: Math.ceil(ownMs ?? FIRST_MS),
        });

  return {
    isFed: poolRunId !== undefined,
    async obtain(key, length, compute) {
      onStep(key.step);
      const begunAt = clock.monotonic();
      /** The claim that is waited for, and since when. */
      let awaited: { readonly sequence: number; readonly since: number } | undefined;
      for (;;) {
        const found = await look(key, length);
        if (found.kind === 'block') return { values: found.values, source: 'fetched' };
        const now = clock.monotonic();
        if (found.kind === 'claim' && found.sequence !== awaited?.sequence)
          awaited = { sequence: found.sequence, since: now };
        const isPoolThere = poolRunId !== undefined && now - poolSeenAt < POOL_MS;
        const ms = waitFor(found, {
          ownMs,
          isPoolThere,
          waitedMs: now - (found.kind === 'claim' ? awaited!.since : begunAt),
        });
        if (ms > 0) {
          await clock.sleep(ms);
          continue;
        }
        if (!(await claim(key, found))) continue;
        if (found.kind === 'damaged') onEvent('damaged', found.reason);
        if (found.kind === 'claim') onEvent('taken_over');
        return computed(key, compute);
      }
    },
    allowanceMs() {
      const own = ownMs ?? FIRST_MS;
      // A wait for a claim, the wait for the one who made it, and the computation.
      return own + 2 * Math.min(ANNOUNCED_MS_MAX, Math.max(announcedMs, own)) + 2 * own;
    },
    async make(key, length, compute) {
      const found = await look(key, length);
      if (found.kind === 'away') return 'away';
      if (found.kind === 'block' || found.kind === 'claim' || !(await claim(key, found))) return 'there';
      if (found.kind === 'damaged') onEvent('damaged', found.reason);
      await computed(key, compute);
      return 'made';
    },
  };
}

/** A place is looked at again after so long, milliseconds. */
const LOOK_MS_MIN = 4;
const LOOK_MS_MAX = 50;

/** How long to wait before the next look, milliseconds; 0: the block is computed here. */
function waitFor(
  found: Exclude<Found, { kind: 'block' }>,
  {
    ownMs,
    isPoolThere,
    waitedMs,
  }: {
    /** Of a computation here; undefined before the first. */
    readonly ownMs: number | undefined;
    /** An embedding run is there, which computes ahead of the students. */
    readonly isPoolThere: boolean;
    /** For this claim, or for a claim where there is none. */
    readonly waitedMs: number;
  },
): number {
  const own = ownMs ?? FIRST_MS;
  const limitMs =
    found.kind === 'claim'
      ? 2 * Math.min(ANNOUNCED_MS_MAX, Math.max(found.forMs, own))
      : found.kind === 'nothing' && isPoolThere
        ? own
        : 0;
  if (waitedMs >= limitMs) return 0;
  return Math.min(limitMs - waitedMs, Math.max(LOOK_MS_MIN, Math.min(LOOK_MS_MAX, own / 8)));
}
