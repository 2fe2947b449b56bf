// One member's part in a step as the owner of slices: adding up a chunk once every contribution to it is
// here, and publishing its sum. Decides what a result carries; the sum goes to the broker once, which fans it
// out.

import { type Arrivals, isReadyToAdd, type OwnChunk } from './arrivals.ts';
import { type ExchangeMemory, padded } from './memory.ts';
import type { Header } from './message.ts';
import type { Neighbours } from './neighbours.ts';
import type { Notes } from './notes.ts';
import type { OwnVectors } from './own-vectors.ts';
import type { Plan } from './plan.ts';
import { sumRoot } from './reduce.ts';
import type { StepState } from './step-state.ts';
import type { Wire } from './wire.ts';

export interface Publisher {
  publishIfReady(entry: OwnChunk): void;
  /** Sends a result that one member misses to that member alone; false when there is none yet. */
  repeatResult(chunk: number, asker: number): boolean;
}

export function createPublisher(
  {
    plan,
    wire,
    memory,
    vectors,
    neighbours,
    notes,
  }: {
    readonly plan: Plan;
    readonly wire: Wire;
    readonly memory: ExchangeMemory;
    readonly vectors: Pick<OwnVectors, 'ownLeaves' | 'publishChunk' | 'publishedBytes'>;
    readonly neighbours: Pick<Neighbours, 'allRead'>;
    readonly notes: Notes;
  },
  state: StepState,
  arrivals: Arrivals,
): Publisher {
  const resultHeader = ({ index, chunk: { offset, count } }: OwnChunk, inMemory = false): Header =>
    wire.header('result', state.step, {
      encoding: plan.compression,
      inMemory,
      chunk: index,
      offset,
      count,
      digest: state.digest,
    });
  return {
    publishIfReady(entry) {
      if (!isReadyToAdd(entry)) return;
      const { chunk } = entry;
      sumRoot({
        kernels: memory.kernels,
        leaves: [...vectors.ownLeaves(chunk), ...arrivals.arrivedLeaves(entry)],
        shards: plan.shards,
        count: padded(chunk.count),
        into: memory.layout.sum + chunk.offset * 4,
        scratch: memory.layout.scratch,
      });
      const data = vectors.publishChunk(chunk);
      arrivals.markPublished(entry);
      // One message serves all, so data travels for all as soon as one needs it.
      const inMemory = neighbours.allRead();
      if (inMemory) wire.stats.bytesShared += data.length;
      wire.sendAll(resultHeader(entry, inMemory), inMemory ? notes.noteOf(data) : data);
      state.chunksOpen--;
    },
    repeatResult(chunk, asker) {
      const entry = arrivals.own[chunk];
      if (!entry?.published) return false;
      const data = vectors.publishedBytes(entry.chunk);
      if (notes.isUnchanged(data)) wire.sendTo(asker, resultHeader(entry), data);
      return true;
    },
  };
}
