// One member's part in a step as a contributor: its nodes, to the owners of all other slices. Decides in
// which order they go out and how far, by the window.

import { encodingOf } from './memory.ts';
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
  /** Sends one node of one chunk; the same bytes each time. */
  contribute(owner: OwnerState, chunk: number, index: number): void;
  hasSentAll(): boolean;
}

export function createContributor(
  {
    plan,
    wire,
    vectors,
  }: { readonly plan: Plan; readonly wire: Wire; readonly vectors: Pick<OwnVectors, 'contribution'> },
  state: StepState,
): Contributor {
  const { rank, ranks } = wire;
  const nodes = plan.nodes[rank]!;
  const others = Array.from({ length: ranks - 1 }, (_, i) => state.owners[(rank + 1 + i) % ranks]!);

  function contribute(owner: OwnerState, chunk: number, index: number): void {
    const part = owner.chunks[chunk]!;
    const node = nodes[index]!;
    const header = wire.header('contribution', state.step, {
      encoding: encodingOf(node, plan),
      shardFirst: node.first,
      shardCount: node.size,
      chunk,
      offset: part.offset,
      count: part.count,
      digest: state.digest,
    });
    wire.sendTo(owner.rank, header, vectors.contribution(index, part));
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
    contribute,
    hasSentAll: () => others.every(({ sent, chunks }) => sent === chunks.length),
  };
}
