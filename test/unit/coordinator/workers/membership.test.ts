import assert from 'node:assert/strict';
import test from 'node:test';
import {
  attachedNow,
  excused,
  lossOf,
  REDIAL_GRACE_MS,
  refusalOf,
} from '../../../../coordinator/workers/membership.ts';

const limits = { heartbeatIntervalMs: 500, heartbeatsMissedMax: 10, reattachGraceMs: 15_000 };
const present = { lastSeenMs: 0, draining: false, awaited: false };

test('an attached worker is lost only after more reports than the budget were missed', () => {
  assert.equal(lossOf(present, 10 * 500 + 499, limits), undefined);
  assert.match(
    lossOf(present, 11 * 500, limits)?.reason ?? '',
    /silent for 5.5 s: 11 reports missed, 10 allowed/,
  );
});

test('a worker whose stream ended is lost after the time of a re-dial, not at once', () => {
  const away = { ...present, detachedAtMs: 0 };
  assert.equal(lossOf(away, REDIAL_GRACE_MS - 1, limits), undefined);
  assert.match(
    lossOf(away, REDIAL_GRACE_MS, limits)?.reason ?? '',
    /stream ended and it did not dial again within 1.0 s/,
  );
});

test('a worker whose stream ended and that is gone from the broker too is not waited for', () => {
  const gone = { ...present, detachedAtMs: 0, absent: true };
  assert.match(
    lossOf(gone, 12, limits)?.reason ?? '',
    /its stream ended, and 0.01 s later it was gone from the broker too/,
  );
  assert.equal(lossOf({ ...present, absent: true }, 12, limits), undefined, 'it is back on a stream');
});

test('a draining worker that hangs up has left', () => {
  assert.deepEqual(lossOf({ ...present, draining: true, detachedAtMs: 0 }, 0, limits), {
    cause: 'drained',
    reason: 'left after draining',
  });
});

test('after a start everybody has the grace to come back, however long they were not heard', () => {
  const awaited = { ...present, awaited: true };
  assert.equal(lossOf(awaited, 14_999, limits), undefined);
  assert.match(lossOf(awaited, 15_000, limits)?.reason ?? '', /did not come back within 15.0 s/);
});

test("time in which the coordinator itself did not run is nobody's silence", () => {
  const stalled = excused(present, 60_000, 60_500);
  assert.equal(lossOf(stalled, 60_500, limits), undefined);
  assert.match(lossOf(present, 60_500, limits)?.reason ?? '', /silent for 60.5 s/);
  const away = { ...present, detachedAtMs: 100 };
  assert.equal(lossOf(excused(away, 60_000, 60_500), 60_500, limits), undefined);
  assert.equal(excused(present, 60_000, 100).lastSeenMs, 100, 'never later than now');
});

test('an id is refused while another process with it was heard of lately, and is free for the same process at any time', () => {
  const before = { incarnation: 'a', isAttached: true, presence: { ...present, lastSeenMs: 1_000 } };
  const refused = (incarnation: string, now: number, known = before) =>
    refusalOf({ workerId: 'w', incarnation }, known, now, limits);
  assert.match(refused('b', 1_999) ?? '', /^worker id w is in use by another living process/);
  assert.equal(refused('b', 2_000), undefined, 'it may have died unnoticed');
  assert.equal(refused('a', 1_001), undefined);
  assert.equal(refused('b', 1_001, { ...before, isAttached: false }), undefined);
  assert.equal(refusalOf({ workerId: 'w', incarnation: 'b' }, undefined, 1_001, limits), undefined);
});

test('who attaches is told from its predecessor: a process that dials again still drains, a new one has the time of the old', () => {
  const draining = { ...present, draining: true, detachedAtMs: 700 };
  const before = { incarnation: 'a', isAttached: false, presence: draining };
  const again = attachedNow('a', before, 900);
  assert.deepEqual(again.presence, { lastSeenMs: 900, draining: true, awaited: false });
  assert.equal(again.predecessorGoneAtMs, undefined);
  const other = attachedNow('b', before, 900);
  assert.deepEqual([other.presence.draining, other.predecessorGoneAtMs], [false, 700]);
  const awaited = { ...before, presence: { ...draining, awaited: true } };
  assert.equal(attachedNow('b', awaited, 900).predecessorGoneAtMs, undefined, 'never seen here');
  assert.equal(attachedNow('b', undefined, 900).predecessorGoneAtMs, undefined);
});
