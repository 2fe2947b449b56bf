// Who gives which nodes to whom. Pure arithmetic on a plan, so that all members agree without a message.
//
// Members that read each other's memory are a group; it is all that is known of a host. Within a group each member
// gives its nodes to the owner of a slice, who reads them where they lie. What leaves the group for an owner
// elsewhere are the largest nodes inside the shards of the whole group. A node of several members is added up by one
// of them, who speaks for the others; for the next owner it is the next of them:
//
//   group of 0 and 1                         group of 2 and 3
//     0 ── note ──► 1 ── node 0..2 ──────────► owner 3        1 speaks to 3, and 0 speaks to 2
//     0 ◄── note ── 1 ◄───────────── result ── owner 3        and what 3 publishes comes to 1, which brings it to 0
//
// A sum of a node is the same two halves whoever adds it, so that groups do not show in the bits. A group of one
// member is a member that speaks for itself.

import type { Groups, Node, Plan } from './plan.ts';

/** A node of another member. */
export interface ForeignNode {
  /** Rank of the member. */
  readonly source: number;
  /** Place among what that member gives to this one for the owner's slices. */
  readonly index: number;
  readonly node: Node;
}

export interface Routes {
  /** This member's rank. */
  readonly rank: number;
  /** Nobody reads another's memory. */
  readonly isApart: boolean;
  /** All read each other's memory. */
  readonly isTogether: boolean;
  /** The others of this member's group. */
  readonly mates: readonly number[];
  isMate(other: number): boolean;
  /** Nodes whose sums `source` gives to `receiver` for the slices of `owner`. */
  given(source: number, receiver: number, owner: number): readonly Node[];
  /** What others give to this member for the slices of `owner`, in rank order. */
  received(owner: number): readonly ForeignNode[];
  /** Nodes of several members that this one adds up for the slices of `owner`, who is not of its group. */
  spoken(owner: number): readonly Node[];
  /** Owners for whose slices this member adds up such nodes, in rank order. */
  readonly spokenTo: readonly number[];
  /** From whom this member gets the results of `owner`. */
  bringer(owner: number): number;
  /** This member gets the results of `owner`, who is not of its group, for all of the group. */
  brings(owner: number): boolean;
}

export function routesOf(plan: Plan, rank: number): Routes {
  const { groups, groupNodes, nodes, members } = plan;
  const groupOf = members.map((_, member) => groups.findIndex((ranks) => ranks.includes(member)));
  const ranks = members.map((_, member) => member);
  const own = groupOf[rank]!;
  const holders = groupNodes.map((ofGroup, group) =>
    ofGroup.map((node) => groups[group]!.filter((member) => nodesWithin(plan, member, node).length > 0)),
  );

  /** Which of some members of a group it is for an owner elsewhere: they take turns, so each has a part of the work. */
  const turn = (group: number, some: readonly number[], owner: number): number =>
    some[(owner - groups[group]!.filter((member) => member < owner).length) % some.length]!;

  /** The nodes of a group that leave it, each with who sends it to `owner`. */
  const leaving = (group: number, owner: number) =>
    groupNodes[group]!.map((node, i) => {
      const all = holders[group]![i]!;
      return { node, holders: all, speaker: turn(group, all, owner) };
    });

  function given(source: number, receiver: number, owner: number): readonly Node[] {
    const group = groupOf[source]!;
    if (source === receiver || source === owner) return [];
    if (group === groupOf[owner]) return receiver === owner ? nodes[source]! : [];
    const left = leaving(group, owner);
    if (receiver === owner) return left.filter(({ speaker }) => speaker === source).map(({ node }) => node);
    return left
      .filter(({ speaker }) => speaker === receiver)
      .flatMap(({ node }) => nodesWithin(plan, source, node));
  }

  const spoken = (owner: number): readonly Node[] =>
    groupOf[owner] === own
      ? []
      : leaving(own, owner).flatMap(({ node, holders: all, speaker }) =>
          speaker === rank && all.length > 1 ? [node] : [],
        );

  return {
    rank,
    isApart: groups.length === members.length,
    isTogether: groups.length === 1,
    mates: groups[own]!.filter((member) => member !== rank),
    isMate: (other) => other !== rank && groupOf[other] === own,
    given,
    received: (owner) =>
      ranks.flatMap((source) => given(source, rank, owner).map((node, index) => ({ source, index, node }))),
    spoken,
    spokenTo: ranks.filter((owner) => spoken(owner).length > 0),
    bringer(owner) {
      const first = turn(own, groups[own]!, owner);
      return groupOf[owner] === own || first === rank ? owner : first;
    },
    brings: (owner) => groupOf[owner] !== own && turn(own, groups[own]!, owner) === rank,
  };
}

/** A member's own nodes inside a node of its group. */
const nodesWithin = ({ nodes }: Plan, member: number, node: Node): Node[] =>
  nodes[member]!.filter((own) => isWithin(own, node));

/** Whether the first node is the second or a part of it. */
export const isWithin = (inner: Node, { first, size }: Node): boolean =>
  inner.first >= first && inner.first + inner.size <= first + size;

/** Place of a node among others; -1 when it is none of them. */
export const placeOf = (nodes: readonly Node[], { first, size }: Node): number =>
  nodes.findIndex((node) => node.first === first && node.size === size);

/**
 * Groups from the proofs of all members: `proven[r]` are the ranks of which rank r knows that both read each other.
 * A member joins the first group all of whose members it is proven with.
 */
export function groupsOf(proven: readonly (readonly number[])[]): Groups {
  const groups: number[][] = [];
  proven.forEach((own, rank) => {
    const joined = groups.find((group) =>
      group.every((other) => own.includes(other) && proven[other]!.includes(rank)),
    );
    if (joined === undefined) groups.push([rank]);
    else joined.push(rank);
  });
  return groups;
}
