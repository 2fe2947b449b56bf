// The vectors of shards, added up on the devices that computed them: a device that has all shards of a node of the
// canonical tree (core/allreduce/plan.ts) adds them there, and the node's sum alone comes to the host. Decides which two
// are added when: a node is the sum of its two halves, and of nothing else, in whatever order the shards arrive.

import type { Resident, ResidentModule } from '../tensor/graph/engine.ts';

/** A node of the canonical tree: `size` is a power of two that divides `first`. */
export interface TreeNode {
  readonly first: number;
  readonly size: number;
}

/** What becomes of a shard's vector. */
export interface ShardPlace {
  readonly shard: number;
  /** The node that is added up on the shard's device; of one shard where its vector is wanted apart. */
  readonly node: TreeNode;
  /** Where the node's sum goes once its last shard is there. */
  readonly into: Float32Array;
}

export interface ShardSums {
  /** Takes vectors, each on the device of its node, and frees them. When it fails, all that waits is freed. */
  take(pairSum: ResidentModule, given: readonly (ShardPlace & { readonly vector: Resident })[]): void;
  /** Vectors that wait on the devices for the rest of their nodes: of a node of n shards n / 2 + 1 at most. */
  waiting(): number;
  /** Frees all that waits. */
  free(): void;
}

/** A node below the one that is wanted, and its sum. */
interface Part extends TreeNode, Pick<ShardPlace, 'node' | 'into'> {
  readonly vector: Resident;
}

export function createShardSums(): ShardSums {
  const waiting = new Map<string, Part>();
  const held = new Set<Resident>();
  const release = (vector: Resident): void => {
    vector.free();
    held.delete(vector);
  };
  const free = (): void => {
    waiting.clear();
    for (const vector of held) release(vector);
  };

  /** The part that is the other half, which then waits no longer; undefined where this one waits from now on. */
  function siblingOf(part: Part): Part | undefined {
    const { first, size } = part;
    const isLeft = first % (2 * size) === 0;
    const key = keyOf({ first: isLeft ? first + size : first - size, size });
    const sibling = waiting.get(key);
    if (sibling === undefined) waiting.set(keyOf(part), part);
    else waiting.delete(key);
    return sibling;
  }

  /** Writes what is whole; the sums of two halves of those that are not, as far as both are there. */
  function advance(pairSum: ResidentModule, parts: readonly Part[]): Part[] {
    const pairs: (readonly [Part, Part])[] = [];
    for (const part of parts) {
      if (part.size === part.node.size) {
        part.vector.read(part.into);
        release(part.vector);
        continue;
      }
      const sibling = siblingOf(part);
      if (sibling !== undefined) pairs.push(part.first < sibling.first ? [part, sibling] : [sibling, part]);
    }
    if (pairs.length === 0) return [];
    const sums = pairSum.runPlaced(
      pairs.map(([left, right]) => ({ donated: [left.vector], kept: [right.vector] })),
    );
    for (const sum of sums) held.add(sum);
    for (const { vector } of pairs.flat()) release(vector);
    return pairs.map(([left], i) => ({ ...left, size: 2 * left.size, vector: sums[i]! }));
  }

  return {
    take(pairSum, given) {
      for (const { vector } of given) held.add(vector);
      let parts: Part[] = given.map(({ shard, ...place }) => ({ ...place, first: shard, size: 1 }));
      try {
        while (parts.length > 0) parts = advance(pairSum, parts);
      } catch (caught) {
        free();
        throw caught;
      }
    },
    waiting: () => held.size,
    free,
  };
}

const keyOf = ({ first, size }: TreeNode): string => `${first} ${size}`;
