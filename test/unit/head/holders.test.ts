// Who holds which class shards, and what moves when the gang changes.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  canGive,
  decodeStanding,
  encodeStanding,
  heldShards,
  planMoves,
  type Standing,
  standingLength,
} from '../../../core/head/holders.ts';
import { membersOf } from '../../support/gang.ts';

const SHARDS = 8;
const counts = fc
  .array(fc.integer({ min: 1, max: SHARDS }), { minLength: 1, maxLength: SHARDS })
  .filter((list) => list.reduce((sum, count) => sum + count, 0) === SHARDS);

test('a member holds its own class shards and those of the next, alone all', () => {
  const members = membersOf([3, 1, 4]);
  assert.deepEqual(heldShards(members, 0), [0, 1, 2, 3]);
  assert.deepEqual(heldShards(members, 1), [3, 4, 5, 6, 7]);
  assert.deepEqual(heldShards(members, 2), [4, 5, 6, 7, 0, 1, 2]);
  assert.deepEqual(heldShards(membersOf([2]), 0), [0, 1]);
});

test('whoever dies alone takes no class shard with it', () => {
  fc.assert(
    fc.property(counts, fc.nat(), (list, dying) => {
      const members = membersOf(list);
      if (members.length === 1) return;
      const left = members.map((_, rank) => rank).filter((rank) => rank !== dying % members.length);
      const held = new Set(left.flatMap((rank) => heldShards(members, rank)));
      assert.equal(held.size, SHARDS);
    }),
  );
});

test('after the moves every member holds what it should, and nobody is asked for what it has not', () => {
  const standing = fc.record({
    step: fc.integer({ min: 8, max: 11 }),
    pending: fc.boolean(),
    shards: fc.uniqueArray(fc.integer({ min: 0, max: SHARDS - 1 })),
  });
  fc.assert(
    fc.property(counts, fc.array(standing, { minLength: SHARDS, maxLength: SHARDS }), (list, all) => {
      const members = membersOf(list);
      const standings: Standing[] = members.map((_, rank) => ({ ...all[rank]!, replica: all[rank]!.step }));
      const step = Math.max(...standings.map(({ replica }) => replica));
      const { moves, lost } = planMoves({ members, standings, shards: SHARDS, step });
      for (const { shard, giver } of moves) assert.ok(canGive(standings[giver]!, shard, step));
      for (const shard of lost) assert.ok(standings.every((one) => !canGive(one, shard, step)));
      const moved = new Set(moves.map(({ shard }) => shard));
      members.forEach((_, rank) => {
        for (const shard of heldShards(members, rank))
          assert.ok(
            canGive(standings[rank]!, shard, step) || moved.has(shard) || lost.includes(shard),
            `rank ${rank} has no shard ${shard}`,
          );
      });
    }),
  );
});

test('a member one step behind gives what it can bring up to date, and nothing otherwise', () => {
  const behind = { replica: 4, step: 4, pending: true, shards: [1] };
  assert.equal(canGive(behind, 1, 5), true);
  assert.equal(canGive(behind, 0, 5), false);
  assert.equal(canGive({ ...behind, pending: false }, 1, 5), false);
  assert.equal(canGive(behind, 1, 6), false);
});

test('a standing survives the wire, which is float32', () => {
  for (const standing of [
    { replica: -1, step: -1, pending: false, shards: [] },
    { replica: 2 ** 31, step: 2 ** 31 - 1, pending: true, shards: [0, 3, 7] },
  ]) {
    const numbers = new Float32Array(standingLength(SHARDS));
    encodeStanding(standing, numbers);
    assert.deepEqual(decodeStanding(numbers), standing);
  }
});
