import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decideLooks } from '../../../../core/data/inspection/look-order.ts';

const LIMITS = { atOnce: 2, idleAfterMs: 3_000, givenUpAfterMs: 300_000 };
const NOW = 1_000_000;

/** Looks by name: how long ago each made progress, milliseconds; undefined: it waits. */
function decided(quietMs: Readonly<Record<string, number | undefined>>, limits = LIMITS) {
  const looks = Object.entries(quietMs).map(([name, ms]) => ({
    name,
    progressMs: ms === undefined ? undefined : NOW - ms,
  }));
  const { standing, starting } = decideLooks(looks, NOW, limits);
  return [standing.map(({ name }) => name), starting.map(({ name }) => name)];
}

test('looks begin in their order while there are places', () => {
  assert.deepEqual(decided({}), [[], []]);
  assert.deepEqual(decided({ a: undefined, b: undefined, c: undefined }), [[], ['a', 'b']]);
  assert.deepEqual(decided({ a: 10, b: undefined, c: undefined }), [[], ['b']]);
  assert.deepEqual(decided({ a: 10, b: 2_999, c: undefined }), [[], []]);
});

test('a look that stands still takes no place from others, and is given up after a long while', () => {
  assert.deepEqual(decided({ a: 3_000, b: 10, c: undefined }), [[], ['c']]);
  assert.deepEqual(decided({ a: 300_000, b: 300_000, c: undefined, d: undefined, e: undefined }), [
    [],
    ['c', 'd'],
  ]);
  assert.deepEqual(decided({ a: 300_001, b: 10 }), [['a'], []]);
});

test('a look that comes back to life beside others in hand takes nothing from them, and none begins', () => {
  assert.deepEqual(decided({ a: 10, b: 10, c: 10, d: undefined }), [[], []]);
});
