// The class shards of a sharded head on the device of the compute thread, for one generation: where the engine keeps
// vectors on its device, graphs take the rows from there, gradients stay there, and the commit of a step moves them
// there. Decides when they go to the device and come back: they go before the first step, and come back for a
// checkpoint and at the end of the generation, with the gradients of an update that is not committed. Otherwise memory
// is where they are.

import type { Compute, KeptShard } from '../compute/client.ts';
import type { GraphSpec } from '../compute/messages.ts';
import { type ClassShard, commitHead, type Head, rowsSpecOf } from './head.ts';

/** The class shards of a member, wherever they lie. */
export interface ResidentHead {
  /** Makes the class shards held ready for `choose`; once a step. */
  prepare(): Promise<void>;
  /** Makes the rows ready of the classes that are chosen for the step. */
  choose(shard: number): Promise<void>;
  /** Runs a graph of a class shard whose second input is its rows, between the two given. */
  statistics(graph: GraphSpec, shard: number, inputs: HeadInputs): Promise<Float32Array>;
  /** The same for the gradients; that of the classes stays where the shard lies. */
  gradients(
    graph: GraphSpec,
    shard: number,
    inputs: HeadInputs,
    statistics: Float32Array,
  ): Promise<{ readonly ofUnit: Float32Array; readonly losses: Float32Array }>;
  /** Commits the step whose update is pending. */
  commit(): Promise<void>;
  /** Copies into memory what steps have changed on the device since the last time. */
  settle(): Promise<void>;
  /** As Membership has it. */
  leave(): Promise<void>;
}

/** Unit embeddings [B, E] and places of the labels [B]. */
export interface HeadInputs {
  readonly unit: Float32Array;
  readonly places: Int32Array;
}

/** Class shards that lie in memory until `prepare`. */
export function createResidentHead(head: Head, compute: Compute): ResidentHead {
  const kept = new Map<number, KeptShard>();
  let isStale = false;
  const { embedding } = head;
  const read = async (): Promise<void> => {
    for (const [shard, one] of kept) await one.read(head.held.get(shard)!);
    isStale = false;
  };
  return {
    async prepare() {
      for (const [shard, own] of head.held) {
        if (kept.has(shard)) continue;
        const { weights, momentum } = own;
        const one = await compute.keepRows({ arrays: { weights, momentum }, rows: rowsSpecOf(head, shard) });
        if (one === undefined) return;
        kept.set(shard, one);
      }
    },
    async choose(shard) {
      const own = head.held.get(shard)!;
      const one = kept.get(shard);
      if (one === undefined) copyChosen(own, embedding);
      else await one.choose(own.chosen);
    },
    async statistics(graph, shard, { unit, places }) {
      const one = kept.get(shard);
      const outputs =
        one === undefined
          ? await compute.runGraph(graph, [unit, head.held.get(shard)!.rows, places])
          : await one.run(graph, { unit, others: [places], leaves: false });
      return outputs[0]!;
    },
    async gradients(graph, shard, { unit, places }, statistics) {
      const one = kept.get(shard);
      const { rows, gradient } = head.held.get(shard)!;
      const [ofUnit, losses] =
        one === undefined
          ? await compute.runGraph(graph, [unit, rows, places, statistics], gradient)
          : await one.run(graph, { unit, others: [places, statistics], leaves: true });
      return { ofUnit: ofUnit!, losses: losses! };
    },
    async commit() {
      await commitHead(head, (shard, own, update) => {
        const one = kept.get(shard);
        if (one === undefined) return compute.updateRows({ ...own, ...update });
        isStale = true;
        return one.commit(update);
      });
    },
    async settle() {
      if (isStale) await read();
    },
    async leave() {
      try {
        if (isStale || head.pendingRate !== undefined) await read();
      } finally {
        for (const one of kept.values()) one.free();
        kept.clear();
      }
    },
  };
}

/** Copies the rows of the classes that take part together. */
function copyChosen({ rows, weights, chosen }: ClassShard, embedding: number): void {
  if (rows === weights) return;
  chosen.forEach((place, i) => {
    rows.set(weights.subarray(place * embedding, (place + 1) * embedding), i * embedding);
  });
}
