import assert from 'node:assert/strict';
import test from 'node:test';
import { lossOf, REDIAL_GRACE_MS } from '../../../../coordinator/workers/membership.ts';

const limits = { heartbeatIntervalMs: 500, heartbeatsMissedMax: 10, reattachGraceMs: 15_000 };
const present = { lastSeenMs: 0, draining: false, awaited: false };

test('an attached worker is lost only after more reports than the budget were missed', () => {
  assert.equal(lossOf(present, 10 * 500 + 499, limits), undefined);
  assert.match(lossOf(present, 11 * 500, limits) ?? '', /silent for 5.5 s: 11 reports missed, 10 allowed/);
});

test('a worker whose stream ended is lost after the time of a re-dial, not at once', () => {
  const away = { ...present, detachedAtMs: 0 };
  assert.equal(lossOf(away, REDIAL_GRACE_MS - 1, limits), undefined);
  assert.match(
    lossOf(away, REDIAL_GRACE_MS, limits) ?? '',
    /stream ended and it did not dial again within 1.0 s/,
  );
});

test('a worker whose stream ended and that is gone from the broker too is not waited for', () => {
  const gone = { ...present, detachedAtMs: 0, absent: true };
  assert.match(
    lossOf(gone, 12, limits) ?? '',
    /its stream ended, and 0.01 s later it was gone from the broker too/,
  );
  assert.equal(lossOf({ ...present, absent: true }, 12, limits), undefined, 'it is back on a stream');
});

test('a draining worker that hangs up has left', () => {
  assert.equal(lossOf({ ...present, draining: true, detachedAtMs: 0 }, 0, limits), 'left after draining');
});

test('after a start everybody has the grace to come back, however long they were not heard', () => {
  const awaited = { ...present, awaited: true };
  assert.equal(lossOf(awaited, 14_999, limits), undefined);
  assert.match(lossOf(awaited, 15_000, limits) ?? '', /did not come back within 15.0 s/);
});
