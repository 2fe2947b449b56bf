// Which device of a worker computes which of its shards, and which nodes of the canonical tree are added up there. Each
// device has a block of neighbouring shards, because a node is of neighbours, and what comes to the host is one vector a
// node. No device has more shards than one has to have.

import { type Node, nodesInside } from '../../core/allreduce/plan.ts';

/** A shard, the device that computes it, and the node that is added up there. */
export interface PlacedShard {
  readonly shard: number;
  readonly device: number;
  readonly node: Node;
}

export interface DeviceShards {
  /** Shards that are computed at the same time, one a device at most. */
  readonly groups: readonly (readonly PlacedShard[])[];
  /** Nodes whose sums come to the host, in the order of shards; of one shard where it stays apart. */
  readonly nodes: readonly Node[];
}

/** `shards` are neighbours, ascending. `apart`: each is wanted by itself. */
export function dealShards(options: {
  readonly shards: readonly number[];
  readonly devices: number;
  readonly apart: boolean;
}): DeviceShards {
  const { shards, devices, apart } = options;
  const nodes = blocksOf(shards, devices).map((block) =>
    apart ? block.map((shard) => ({ first: shard, size: 1 })) : nodesInside(block[0]!, block.at(-1)! + 1),
  );
  const lists = nodes.map((own, device) =>
    own.flatMap((node) =>
      Array.from({ length: node.size }, (_, i): PlacedShard => ({ shard: node.first + i, device, node })),
    ),
  );
  return { groups: oneOfEach(lists), nodes: nodes.flat() };
}

/** The first of each list, the second of each, and so on; shorter lists are in fewer of them. */
export function oneOfEach<T>(lists: readonly (readonly T[])[]): readonly (readonly T[])[] {
  const length = Math.max(0, ...lists.map((list) => list.length));
  return Array.from({ length }, (_, at) => lists.flatMap((list) => list.slice(at, at + 1)));
}

/**
 * One block for each device, as far as there are shards. Where others have room a block ends before the place that the
 * larger node begins with: shards 3, 4, 5 on two devices are 3 and then 4, 5, which are a node.
 */
function blocksOf(shards: readonly number[], devices: number): readonly (readonly number[])[] {
  const most = Math.ceil(shards.length / devices);
  const blocks: (readonly number[])[] = [];
  for (let from = 0; from < shards.length; from += blocks.at(-1)!.length) {
    const roomOfOthers = (devices - blocks.length - 1) * most;
    const least = Math.max(1, shards.length - from - roomOfOthers);
    let size = Math.min(most, shards.length - from);
    for (let other = size - 1; other >= least; other--)
      if (alignmentOf(shards[0]! + from + other) > alignmentOf(shards[0]! + from + size)) size = other;
    blocks.push(shards.slice(from, from + size));
  }
  return blocks;
}

/** The largest power of two that divides a place in the tree. */
const alignmentOf = (place: number): number => (place === 0 ? Number.POSITIVE_INFINITY : place & -place);
