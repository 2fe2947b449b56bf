import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Clock } from '../../core/clock.ts';
import { CODES, type Code, FleetError, isRetryable } from '../../core/errors.ts';
import {
  ASK_AGAIN,
  ATTACH,
  type Backoff,
  CONNECT,
  delayMs,
  retrying,
  WAIT_FOR_ROOM,
} from '../../core/retry.ts';
import { randomStream } from '../../core/rng.ts';

const backoffs: fc.Arbitrary<Backoff> = fc
  .record({
    firstMs: fc.integer({ min: 1, max: 10_000 }),
    more: fc.integer({ min: 0, max: 1_000_000 }),
    jitter: fc.double({ min: 0, max: 1, noNaN: true }),
  })
  .map(({ firstMs, more, jitter }) => ({ firstMs, maxMs: firstMs + more, jitter }));
const failures = fc.integer({ min: 1, max: 5_000 });
const chances = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

test('a delay is bounded, and chance takes off no more than its share', () => {
  fc.assert(
    fc.property(backoffs, failures, chances, (backoff, n, chance) => {
      const whole = delayMs(backoff, n, () => 0);
      const delay = delayMs(backoff, n, () => chance);
      assert.ok(whole >= backoff.firstMs && whole <= backoff.maxMs, `${whole}`);
      assert.ok(delay <= whole && delay >= whole * (1 - backoff.jitter), `${delay} of ${whole}`);
    }),
  );
});

test('a delay doubles from the first one until its bound', () => {
  fc.assert(
    fc.property(backoffs, fc.integer({ min: 1, max: 60 }), (backoff, n) => {
      const before = delayMs(backoff, n, () => 0);
      assert.equal(
        delayMs(backoff, n + 1, () => 0),
        Math.min(backoff.maxMs, 2 * before),
      );
    }),
  );
});

test('the same seed gives the same delays, another seed gives others, and a schedule without jitter asks no chance', () => {
  const delays = (seed: number) => {
    const stream = randomStream({ seed, purpose: 'retry' });
    return Array.from({ length: 8 }, (_, i) => delayMs(CONNECT, i + 1, () => stream.uniform()));
  };
  assert.deepEqual(delays(7), delays(7));
  assert.notDeepEqual(delays(7), delays(8));
  const never = () => assert.fail('chance was asked');
  assert.equal(delayMs({ firstMs: 10, maxMs: 80, jitter: 0 }, 3, never), 40);
});

test('the shared schedules begin and end where users and deadlines expect it', () => {
  const ends = [CONNECT, ATTACH, ASK_AGAIN, WAIT_FOR_ROOM].map((backoff) =>
    [1, 1_000].map((n) => delayMs(backoff, n, () => 0)),
  );
  assert.deepEqual(ends, [
    [100, 200],
    [50, 1_000],
    [250, 500],
    [1_000, 1_000],
  ]);
});

test('the codes that are worth another attempt are these four', () => {
  const codes = (Object.keys(CODES) as Code[]).filter(isRetryable);
  assert.deepEqual(codes.sort(), ['aborted', 'deadlineExceeded', 'resourceExhausted', 'unavailable']);
});

/** A clock whose sleeps take no time; it notes them. */
function instantClock(): Clock & { readonly slept: number[] } {
  const slept: number[] = [];
  const now = () => slept.reduce((sum, ms) => sum + ms, 0);
  return {
    slept,
    now,
    monotonic: now,
    async sleep(ms, signal) {
      signal?.throwIfAborted();
      slept.push(ms);
    },
  };
}

const DOUBLING: Backoff = { firstMs: 10, maxMs: 40, jitter: 0 };
const away = () => new FleetError('unavailable', 'away');

test('work is repeated with growing pauses until it succeeds', async () => {
  const clock = instantClock();
  const failed: unknown[] = [];
  const result = await retrying(
    async (attempt) => {
      if (attempt < 5) throw away();
      return attempt;
    },
    { backoff: DOUBLING, clock, onFailure: (caught) => failed.push(caught) },
  );
  assert.deepEqual([result, clock.slept, failed.length], [5, [10, 20, 40, 40], 4]);
});

test('a terminal failure, a judgement of the caller and the end of the time are final', async () => {
  const options = () => ({ backoff: DOUBLING, clock: instantClock() });
  const refused = new FleetError('notFound', 'no such run');
  await assert.rejects(
    retrying(() => Promise.reject(refused), options()),
    refused,
  );
  const judged = new FleetError('dataLoss', 'judged');
  await assert.rejects(
    retrying(() => Promise.reject(away()), { ...options(), finalError: () => judged }),
    judged,
  );
  const late = options();
  await assert.rejects(
    retrying(() => Promise.reject(away()), { ...late, withinMs: 50, finalError: () => undefined }),
    { code: 'unavailable', message: 'away' },
  );
  assert.deepEqual(late.clock.slept, [10, 20, 40]);
});

test('an abort ends the pause, and no attempt begins after it', async () => {
  const stopping = new AbortController();
  const reason = new FleetError('cancelled', 'stopping');
  let attempts = 0;
  await assert.rejects(
    retrying(
      async () => {
        attempts += 1;
        stopping.abort(reason);
        throw away();
      },
      { backoff: DOUBLING, clock: instantClock(), signal: stopping.signal },
    ),
    reason,
  );
  await assert.rejects(
    retrying(async () => assert.fail('begun'), {
      backoff: DOUBLING,
      clock: instantClock(),
      signal: stopping.signal,
    }),
    reason,
  );
  assert.equal(attempts, 1);
});
