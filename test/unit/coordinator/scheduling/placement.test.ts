import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { step } from '../../../../coordinator/decisions/decide.ts';
import { initialState, type Member, type RunState, runOf } from '../../../../coordinator/model/state.ts';
import {
  placeShards,
  REBALANCE_INTERVAL_MS,
  rebalanced,
} from '../../../../coordinator/scheduling/placement.ts';
import { planOf } from '../../../../core/allreduce/plan.ts';
import { teacher } from '../../../sim/specs.ts';
import { FACTS } from '../../../sim/world.ts';
import { connections } from '../../../support/state.ts';

const speeds = (count: number) =>
  fc.array(fc.option(fc.double({ min: 0.1, max: 100, noNaN: true }), { nil: undefined }), {
    minLength: count,
    maxLength: count,
  });
const gang = (powerMax: number) =>
  fc
    .integer({ min: 0, max: powerMax })
    .chain((power) =>
      fc
        .integer({ min: 1, max: 2 ** power })
        .chain((count) => fc.record({ shards: fc.constant(2 ** power), speeds: speeds(count) })),
    );
const idsOf = (list: readonly unknown[]) => list.map((_, i) => `w${i}`);
const speedIn = (list: readonly (number | undefined)[]) => (id: string) => list[Number(id.slice(1))];
const slowest = (counts: readonly number[], all: readonly number[]) =>
  Math.max(...counts.map((count, i) => count / all[i]!));

/** Every way to share out: what the clever one must not be slower than. */
function* sharings(shards: number, members: number): Generator<number[]> {
  if (members === 1) yield [shards];
  else
    for (let first = 1; first <= shards - members + 1; first++)
      for (const rest of sharings(shards - first, members - 1)) yield [first, ...rest];
}

test('every shard has exactly one holder, everybody has one, in rank order, and the exchange can plan with it', () => {
  fc.assert(
    fc.property(gang(8), ({ shards, speeds: list }) => {
      const members = placeShards(idsOf(list), shards, speedIn(list));
      assert.deepEqual(
        members.map((member) => member.workerId),
        idsOf(list),
      );
      const held = members.flatMap(({ shardFirst, shardCount }) => {
        assert.ok(shardCount >= 1);
        return Array.from({ length: shardCount }, (_, i) => shardFirst + i);
      });
      assert.deepEqual(
        held,
        Array.from({ length: shards }, (_, i) => i),
      );
      const { nodes } = planOf({ members, shards, elements: 10 });
      const covered = nodes.flat().reduce((sum, node) => sum + node.size, 0);
      assert.equal(covered, shards);
    }),
  );
});

test('no other sharing lets the slowest member be done earlier', () => {
  const small = fc.integer({ min: 1, max: 4 }).chain((count) =>
    fc.record({
      shards: fc.constantFrom(4, 8, 16),
      speeds: fc.array(fc.double({ min: 0.1, max: 20, noNaN: true }), { minLength: count, maxLength: count }),
    }),
  );
  fc.assert(
    fc.property(small, ({ shards, speeds: list }) => {
      const counts = placeShards(idsOf(list), shards, speedIn(list)).map((member) => member.shardCount);
      const best = Math.min(...[...sharings(shards, list.length)].map((sharing) => slowest(sharing, list)));
      assert.ok(slowest(counts, list) <= best * (1 + 1e-12), `${counts} against ${best}`);
    }),
  );
});

test('three equal workers share eight shards as 3, 3 and 2, and without a measurement everybody is equal', () => {
  const counts = (list: (number | undefined)[]) =>
    placeShards(idsOf(list), 8, speedIn(list)).map((member) => member.shardCount);
  assert.deepEqual(counts([undefined, undefined, undefined]), [3, 3, 2]);
  assert.deepEqual(counts([20, undefined, 20]), [3, 3, 2]);
  assert.deepEqual(counts([30, 10]), [6, 2]);
  assert.deepEqual(counts([1000, 1, 1]), [6, 1, 1], 'nobody is left without');
});

test('more members than shards is a mistake of the caller', () => {
  assert.throws(() => placeShards(['a', 'b', 'c'], 2), /assertion/);
});

function runWith(members: readonly Member[]): RunState {
  const document = { kind: 'run', spec: teacher(), facts: FACTS } as const;
  const { state } = step(
    initialState,
    { kind: 'submit', documents: [document] },
    { now: 0, connected: connections() },
  );
  return { ...runOf(state, 'run-1'), state: 'running', gang: members, changedAtMs: 0 };
}

test('a placement changes when a step gains a fifth by it, with the numbers, not sooner and not for less', () => {
  const run = runWith(placeShards(['w0', 'w1'], 8));
  const judge = (list: (number | undefined)[], now = REBALANCE_INTERVAL_MS) =>
    rebalanced(run, { now, connected: connections(), speedOf: (_, id) => speedIn(list)(id) });
  assert.equal(judge([10, 9]), undefined, 'five and three would be slower');
  assert.equal(judge([10, 7]), undefined, '4/7 against 5/10: hardly');
  assert.equal(judge([10, undefined]), undefined, 'not measured yet');
  assert.equal(judge([10, 1], REBALANCE_INTERVAL_MS - 1), undefined, 'too soon');
  const better = judge([30, 10]);
  assert.deepEqual(
    better?.members.map((member) => member.shardCount),
    [6, 2],
  );
  assert.match(
    better?.reason ?? '',
    /a step gains 50 %: w0 30\.0 images\/s: 4 to 6 shards, w1 10\.0 images\/s: 4 to 2/,
  );
});
