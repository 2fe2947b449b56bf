// One member's part in a step as a contributor: its nodes, to the owners of all other slices. Decides in
// which order they go out and how far, by the window.

import { encodingOf } from './memory.ts';
import type { Header } from './message.ts';
import type { Neighbours } from './neighbours.ts';
import type { Notes } from './notes.ts';
import type { OwnVectors } from './own-vectors.ts';
import type { Plan } from './plan.ts';
import { contributionsAllowed, type OwnerState, type StepState } from './step-state.ts';
import type { Wire } from './wire.ts';

export interface Contributor {
  /** All other members, the next rank first, so that not everybody sends to rank 0 first. */
  readonly others: readonly OwnerState[];
  /** Number of nodes that this member sends for each chunk. */
  readonly nodes: number;
  /**
   * Contributes to the first window of every owner: chunk 0 of all, then chunk 1 of all, so that all owners
   * can begin early.
   */
  contributeFirst(): void;
  /** Contributes to what the window allows since the owner's last result. */
  contributeMore(owner: OwnerState): void;
  /** Sends one node of one chunk again, in a message of its own; the same bytes each time. */
  repeat(owner: OwnerState, chunk: number, index: number): void;
  hasSentAll(): boolean;
}

export function createContributor(
  {
    plan,
    wire,
    vectors,
    neighbours,
    notes,
  }: {
    readonly plan: Plan;
    readonly wire: Wire;
    readonly vectors: Pick<OwnVectors, 'contribution'>;
    readonly neighbours: Pick<Neighbours, 'reads'>;
    readonly notes: Notes;
  },
  state: StepState,
): Contributor {
  const { rank, ranks } = wire;
  const nodes = plan.nodes[rank]!;
  const others = Array.from({ length: ranks - 1 }, (_, i) => state.owners[(rank + 1 + i) % ranks]!);

  function headerOf(owner: OwnerState, chunk: number, index: number, inMemory: boolean): Header {
    const part = owner.chunks[chunk]!;
    const node = nodes[index]!;
    return wire.header('contribution', state.step, {
      encoding: encodingOf(node, plan),
      inMemory,
      shardFirst: node.first,
      shardCount: node.size,
      chunk,
      offset: part.offset,
      count: part.count,
      digest: state.digest,
    });
  }

  /** A neighbour reads the data where it lies. */
  function contribute(owner: OwnerState, chunk: number, index: number): void {
    const data = vectors.contribution(index, owner.chunks[chunk]!);
    const inMemory = neighbours.reads(owner.rank);
    const header = headerOf(owner, chunk, index, inMemory);
    if (inMemory) wire.stats.bytesShared += data.length;
    wire.sendTo(owner.rank, header, inMemory ? notes.noteOf(data) : data);
  }

  function contributeUpTo(owner: OwnerState, end: number): void {
    for (; owner.sent < end; owner.sent++) {
      for (let index = 0; index < nodes.length; index++) contribute(owner, owner.sent, index);
    }
  }

  return {
    others,
    nodes: nodes.length,
    contributeFirst() {
      for (let chunk = 0; chunk < plan.window; chunk++) {
        for (const owner of others) contributeUpTo(owner, contributionsAllowed(owner, chunk + 1));
      }
    },
    contributeMore: (owner) => contributeUpTo(owner, contributionsAllowed(owner, plan.window)),
    repeat(owner, chunk, index) {
      const data = vectors.contribution(index, owner.chunks[chunk]!);
      if (notes.isUnchanged(data)) wire.sendTo(owner.rank, headerOf(owner, chunk, index, false), data);
    },
    hasSentAll: () => others.every(({ sent, chunks }) => sent === chunks.length),
  };
}
