// One member's part in a step as a contributor: its nodes, to whoever adds them up for the owner of a slice. Decides
// in which order they go out and how far, by the window. Nodes that this member adds up for others too go out when
// they are there (speaker.ts).

import { encodingOf } from './memory.ts';
import type { Header } from './message.ts';
import type { Notes } from './notes.ts';
import type { OwnVectors } from './own-vectors.ts';
import type { Node, Plan } from './plan.ts';
import { placeOf, type Routes } from './routes.ts';
import { contributionsAllowed, type OwnerState, type StepState } from './step-state.ts';
import type { Wire } from './wire.ts';

export interface Contributor {
  /** All other members, the next rank first, so that not everybody sends to rank 0 first. */
  readonly others: readonly OwnerState[];
  /**
   * Contributes to the first window of every owner: chunk 0 of all, then chunk 1 of all, so that all owners
   * can begin early.
   */
  contributeFirst(): void;
  /** Contributes to what the window allows since the owner's last result. */
  contributeMore(owner: OwnerState): void;
  /** Sends a node of several members, whose sum this member has. */
  sendSpoken(owner: OwnerState, chunk: number, node: Node, data: Uint8Array): void;
  /** Sends one of this member's own nodes again, in a message of its own; the same bytes each time. */
  repeat(to: number, owner: OwnerState, chunk: number, node: Node): void;
  hasSentAll(): boolean;
}

/** A node that this member gives to another one. */
interface Gift {
  readonly to: number;
  /** Its place among this member's own nodes. */
  readonly index: number;
  readonly node: Node;
}

export function createContributor(
  {
    plan,
    routes,
    wire,
    vectors,
    notes,
  }: {
    readonly plan: Plan;
    readonly routes: Routes;
    readonly wire: Wire;
    readonly vectors: Pick<OwnVectors, 'contribution'>;
    readonly notes: Notes;
  },
  state: StepState,
): Contributor {
  const { rank, ranks } = wire;
  const others = Array.from({ length: ranks - 1 }, (_, i) => state.owners[(rank + 1 + i) % ranks]!);
  const gifts = state.owners.map((owner) => giftsTo(owner.rank));

  function giftsTo(owner: number): Gift[] {
    const spoken = new Set(routes.spoken(owner).map(({ first }) => first));
    return [owner, ...routes.mates.filter((mate) => mate !== owner)].flatMap((to) =>
      routes
        .given(rank, to, owner)
        .flatMap((node) =>
          to === owner && spoken.has(node.first)
            ? []
            : [{ to, index: placeOf(plan.nodes[rank]!, node), node }],
        ),
    );
  }

  function headerOf(owner: OwnerState, chunk: number, node: Node, inMemory: boolean): Header {
    const part = owner.chunks[chunk]!;
    return wire.header('contribution', state.step, {
      encoding: encodingOf(node, plan),
      inMemory,
      shardFirst: node.first,
      shardCount: node.size,
      owner: owner.rank,
      chunk,
      offset: part.offset,
      count: part.count,
      digest: state.digest,
    });
  }

  /** A neighbour reads the data where it lies. */
  function contribute(owner: OwnerState, chunk: number, { to, index, node }: Gift): void {
    const data = vectors.contribution(index, owner.chunks[chunk]!);
    const inMemory = routes.isMate(to);
    const header = headerOf(owner, chunk, node, inMemory);
    if (inMemory) wire.stats.bytesShared += data.length;
    wire.sendTo(to, header, inMemory ? notes.noteOf(data) : data);
  }

  function contributeUpTo(owner: OwnerState, end: number): void {
    for (; owner.sent < end; owner.sent++)
      for (const gift of gifts[owner.rank]!) contribute(owner, owner.sent, gift);
  }

  return {
    others,
    contributeFirst() {
      for (let chunk = 0; chunk < plan.window; chunk++) {
        for (const owner of others) contributeUpTo(owner, contributionsAllowed(owner, chunk + 1));
      }
    },
    contributeMore: (owner) => contributeUpTo(owner, contributionsAllowed(owner, plan.window)),
    sendSpoken: (owner, chunk, node, data) =>
      wire.sendTo(owner.rank, headerOf(owner, chunk, node, false), data),
    repeat(to, owner, chunk, node) {
      const data = vectors.contribution(placeOf(plan.nodes[rank]!, node), owner.chunks[chunk]!);
      if (notes.isUnchanged(data)) wire.sendTo(to, headerOf(owner, chunk, node, false), data);
    },
    hasSentAll: () => others.every(({ sent, chunks }) => sent === chunks.length),
  };
}
