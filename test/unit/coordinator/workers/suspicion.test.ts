import assert from 'node:assert/strict';
import test from 'node:test';
import { lookup } from '../../../../coordinator/model/persistent-map.ts';
import {
  convictionsOf,
  createSuspicionBoard,
  type Testimony,
} from '../../../../coordinator/workers/suspicion.ts';
import { connections } from '../../../support/state.ts';

const gangOf = (id: string, ...workerIds: string[]) => ({
  id,
  generation: 4,
  gang: workerIds.map((workerId, i) => ({ workerId, shardFirst: i, shardCount: 1 })),
});
/** What a member says of `run-1`, unless told otherwise. */
const says = (
  of: readonly string[],
  change: Partial<Testimony> = {},
  kind: 'silent' | 'idle' = 'silent',
): { recent: boolean; said: Testimony[] } => ({
  recent: true,
  said: [
    {
      runId: 'run-1',
      generation: 4,
      inExchange: true,
      suspects: of.map((workerId) => ({ workerId, kind, ms: 2_300, limitMs: 80 })),
      ...change,
    },
  ],
});
const convicted = (
  runs: Parameters<typeof convictionsOf>[0],
  testimonies: Record<string, ReturnType<typeof says>>,
) => convictionsOf(runs, new Map(Object.entries(testimonies))).map(({ workerId }) => workerId);

const two = gangOf('run-1', 'a', 'b');
const three = gangOf('run-1', 'a', 'b', 'c');

test('one that stands still is convicted by the only other, with what that saw and why it was enough', () => {
  const [conviction] = convictionsOf([two], new Map(Object.entries({ a: says(['b']), b: says([]) })));
  assert.deepEqual(conviction, {
    workerId: 'b',
    kind: 'silent',
    ms: 2_300,
    reason:
      'it says nothing to its gang for 2.30 s in run-1, as a sees it; by how slow answers were lately, 0.08 s were enough',
  });
});

test('of two that complain of each other neither is convicted', () => {
  assert.deepEqual(convicted([two], { a: says(['b']), b: says(['a']) }), []);
});

test('the end of a broken link that all the others complain of is convicted, although it complains of all', () => {
  assert.deepEqual(convicted([three], { a: says(['b']), b: says(['a', 'c']), c: says(['b']) }), ['b']);
});

test('several that stand still at once are convicted together', () => {
  assert.deepEqual(convicted([three], { a: says(['b', 'c']), b: says([]), c: says([]) }), ['b', 'c']);
});

test('complaints of another generation, of old, about strangers and about who has not joined yet count nothing', () => {
  assert.deepEqual(convicted([two], { a: says(['b'], { generation: 3 }), b: says([]) }), []);
  assert.deepEqual(convicted([two], { a: { ...says(['b']), recent: false }, b: says([]) }), []);
  assert.deepEqual(convicted([two], { a: says(['z']), b: says([]), z: says([]) }), []);
  assert.deepEqual(convicted([two], { a: says(['b']), b: says([], { inExchange: false }) }), []);
  assert.deepEqual(convicted([two], { a: says(['b']) }), []);
});

test('an idle member is excused while it holds another run that does not complain, a silent one is not', () => {
  const other = gangOf('run-2', 'b');
  assert.deepEqual(convicted([two], { a: says(['b'], {}, 'idle'), b: says([]) }), ['b']);
  assert.deepEqual(convicted([two, other], { a: says(['b'], {}, 'idle'), b: says([]) }), []);
  assert.deepEqual(convicted([two, other], { a: says(['b']), b: says([]) }), ['b']);
  const idle = new Map(Object.entries({ a: says(['b'], {}, 'idle'), b: says([]) }));
  assert.deepEqual(
    convictionsOf([two], idle, (id) => id === 'b'),
    [],
    'it verifies or replays',
  );
});

test('who was convicted gets no place for as long as it held its gang up, twice as long when it happens again soon', () => {
  let now = 0;
  const board = createSuspicionBoard({ now: () => now, heartbeatIntervalMs: 500 });
  const connected = new Set(['a', 'b']);
  const happen = () => {
    board.heard('b', says([]).said);
    now += 1_500;
    board.heard('a', says(['b']).said);
    board.heard('b', says([]).said);
    assert.deepEqual(
      board.judge([two]).map(({ workerId }) => workerId),
      ['b'],
    );
    assert.deepEqual(board.judge([two]), [], 'once');
  };
  const untilPlaced = () => {
    const from = now;
    while (!lookup(board.placeable(connections(connected)), 'b')) now += 100;
    assert.ok(lookup(board.placeable(connections(connected)), 'a'));
    return now - from;
  };
  happen();
  assert.equal(untilPlaced(), 2_300);
  happen();
  assert.equal(untilPlaced(), 4_600);
  now += 100_000;
  happen();
  assert.equal(untilPlaced(), 2_300);
});

test('who has not been heard for two heartbeats complains of nobody', () => {
  let now = 0;
  const board = createSuspicionBoard({ now: () => now, heartbeatIntervalMs: 500 });
  board.heard('b', says([]).said);
  now = 1_500;
  board.heard('a', says(['b']).said);
  board.heard('b', says([]).said);
  now = 2_501;
  assert.deepEqual(board.judge([two]), []);
});

test('who has only just joined is not convicted of the time before it came', () => {
  let now = 0;
  const board = createSuspicionBoard({ now: () => now, heartbeatIntervalMs: 500 });
  board.heard('b', [{ ...says([]).said[0]!, inExchange: false }]);
  now = 5_000;
  board.heard('a', says(['b']).said);
  board.heard('b', says([]).said);
  assert.deepEqual(board.judge([two]), [], 'a said it before b came');
  now = 5_500;
  board.heard('a', says([]).said);
  board.heard('b', says([]).said);
  assert.deepEqual(board.judge([two]), []);
  now = 6_500;
  board.heard('a', says(['b']).said);
  assert.deepEqual(
    board.judge([two]).map(({ workerId }) => workerId),
    ['b'],
    'what is said now is of the time since',
  );
});
