// What the facts of several looks at the store mean together.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  judgeStore,
  mustTryWrite,
  type StoreFacts,
  shortTwice,
  silenceMs,
} from '../../../../coordinator/store/store-state.ts';

const stream = (name: string, bytes: number) => ({ name, bytes, bytesMax: 100, needsBytes: 10 });
const judged = (streams: StoreFacts['streams']) =>
  judgeStore(
    {
      streams,
      limitBytes: 200,
      place: 'p',
      diskFreeBytes: undefined,
      refused: undefined,
      silentMs: 0,
      holders: [],
    },
    undefined,
    0,
  );

test('a stream that is short of room at one look alone does not make the store full, at two looks it does', () => {
  const sizes = [stream('A', 95), stream('B', 10)];
  const first = shortTwice(sizes, new Set());
  assert.deepEqual([judged(first.streams).kind, [...first.short]], ['ok', ['A']]);
  const second = shortTwice(sizes, first.short);
  assert.equal(judged(second.streams).kind, 'full');
  const other = shortTwice([stream('A', 10), stream('B', 95)], first.short);
  assert.equal(judged(other.streams).kind, 'ok', 'another one, for the first time');
});

test('a write is tried while something is wrong or not known, and not otherwise', () => {
  const well = { isTroubled: false, anyWait: false, limitBytes: 1, kind: 'ok' } as const;
  assert.equal(mustTryWrite(well), false);
  for (const change of [
    { isTroubled: true },
    { anyWait: true },
    { limitBytes: 0 },
    { kind: 'full' as const },
  ])
    assert.equal(mustTryWrite({ ...well, ...change }), true, JSON.stringify(change));
});

test('a store is silent since the older of two open writes, and never for longer than the broker is there', () => {
  assert.equal(silenceMs({ connectedMs: 9_000, probingMs: 0, appendingMs: 0 }), 0);
  assert.equal(silenceMs({ connectedMs: 9_000, probingMs: 2_000, appendingMs: 5_000 }), 5_000);
  assert.equal(silenceMs({ connectedMs: 1_000, probingMs: 2_000, appendingMs: 5_000 }), 1_000);
});
