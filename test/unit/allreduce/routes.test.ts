// Who gives which nodes to whom, for any placement and any groups: what an owner gets covers every shard once, what a
// speaker gets completes its nodes, and everybody gets every result once.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Groups, type Member, type Node, planOf } from '../../../core/allreduce/plan.ts';
import { groupsOf, isWithin, routesOf } from '../../../core/allreduce/routes.ts';

const shardsOf = (nodes: readonly Node[]): number[] =>
  nodes.flatMap(({ first, size }) => Array.from({ length: size }, (_, i) => first + i)).sort((a, b) => a - b);
const range = (first: number, count: number): number[] => Array.from({ length: count }, (_, i) => first + i);

const gangs = fc
  .array(fc.record({ shards: fc.integer({ min: 1, max: 6 }), host: fc.integer({ min: 0, max: 3 }) }), {
    minLength: 1,
    maxLength: 9,
  })
  .map((each) => {
    let shardFirst = 0;
    const members = each.map(({ shards }, rank): Member => {
      const member = { workerId: `w${rank}`, shardFirst, shardCount: shards };
      shardFirst += shards;
      return member;
    });
    const hosts = [...new Set(each.map(({ host }) => host))];
    const groups: Groups = hosts.map((host) =>
      range(0, each.length).filter((rank) => each[rank]!.host === host),
    );
    return { members, shards: shardFirst, groups };
  });

test('an owner gets every shard of the others once, in nodes that are sums of the sender or of its group', () => {
  fc.assert(
    fc.property(
      gangs,
      fc.constantFrom('none', 'bf16', 'int8'),
      ({ members, shards, groups }, compression) => {
        const plan = planOf({ members, shards, groups, compression, elements: 1_000 });
        members.forEach((member, owner) => {
          const received = routesOf(plan, owner).received(owner);
          const own = range(member.shardFirst, member.shardCount);
          assert.deepEqual(
            [...shardsOf(received.map(({ node }) => node)), ...own].sort((a, b) => a - b),
            range(0, shards),
          );
          for (const { source, index, node } of received)
            assert.deepEqual(routesOf(plan, source).given(source, owner, owner)[index], node);
        });
      },
    ),
  );
});

test('a speaker has, and gets from its group, every shard of the nodes that it adds up, and is part of each', () => {
  fc.assert(
    fc.property(gangs, ({ members, shards, groups }) => {
      const plan = planOf({ members, shards, groups, elements: 1_000 });
      for (const owner of members.keys())
        for (const [rank, { shardFirst, shardCount }] of members.entries()) {
          const routes = routesOf(plan, rank);
          const nodes = routes.spoken(owner);
          const received = owner === rank ? [] : routes.received(owner);
          assert.ok(received.every(({ source }) => routes.isMate(source)));
          for (const node of nodes) {
            const own = range(shardFirst, shardCount).filter((first) => isWithin({ first, size: 1 }, node));
            const others = received.map((of) => of.node).filter((of) => isWithin(of, node));
            assert.ok(own.length > 0 && others.length > 0);
            assert.deepEqual(
              [...own, ...shardsOf(others)].sort((a, b) => a - b),
              shardsOf([node]),
            );
          }
          const parts = received.filter((of) => nodes.some((node) => isWithin(of.node, node)));
          assert.equal(parts.length, received.length, 'nothing is given that is not added up');
        }
    }),
  );
});

test('every result comes once: from its owner to one member of each other group, and from that one to the rest', () => {
  fc.assert(
    fc.property(gangs, ({ members, shards, groups }) => {
      const plan = planOf({ members, shards, groups, elements: 1_000 });
      const routes = members.map((_, rank) => routesOf(plan, rank));
      for (const owner of members.keys())
        for (const group of groups) {
          if (group.includes(owner)) {
            assert.ok(group.every((rank) => routes[rank]!.bringer(owner) === owner));
            continue;
          }
          const brings = group.filter((rank) => routes[rank]!.brings(owner));
          assert.equal(brings.length, 1);
          for (const rank of group)
            assert.equal(routes[rank]!.bringer(owner), rank === brings[0] ? owner : brings[0]);
        }
    }),
  );
});

test('members of a host take turns: with as many owners elsewhere each speaks to and brings from equally many', () => {
  const members = range(0, 8).map((shardFirst) => ({ workerId: 'w', shardFirst, shardCount: 1 }));
  const planWith = (groups: Groups) => planOf({ members, shards: 8, elements: 1, groups });
  for (const rank of range(0, 8)) {
    const routes = routesOf(planWith([range(0, 4), range(4, 4)]), rank);
    assert.equal(range(0, 8).filter((owner) => routes.spoken(owner).length === 1).length, 1);
    assert.equal(range(0, 8).filter((owner) => routes.brings(owner)).length, 1);
    const mixed = routesOf(
      planWith([
        [0, 2, 4, 6],
        [1, 3, 5, 7],
      ]),
      rank,
    );
    assert.equal(range(0, 8).filter((owner) => mixed.brings(owner)).length, 1);
  }
});

test('who is in a group is proven with all of it, and what one side alone knows does not count', () => {
  assert.deepEqual(groupsOf([[1, 2], [0, 2], [0, 1], []]), [[0, 1, 2], [3]]);
  assert.deepEqual(groupsOf([[1, 2], [0], [0]]), [[0, 1], [2]]);
  assert.deepEqual(groupsOf([[1], [], [3], [2]]), [[0], [1], [2, 3]]);
  assert.deepEqual(groupsOf([[2], [3], [0], [1]]), [
    [0, 2],
    [1, 3],
  ]);
  assert.deepEqual(groupsOf([[99]]), [[0]]);
});
