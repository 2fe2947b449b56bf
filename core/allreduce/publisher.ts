// One member's part in a step as the owner of slices: adding up a chunk once every contribution to it is
// here, and publishing its sum. Decides what a result carries and to whom: to the others of its group a note, and the
// sum to the broker once, which fans it out to one member of each other host.

import { type Arrivals, isReadyToAdd, type OwnChunk } from './arrivals.ts';
import { type ExchangeMemory, padded } from './memory.ts';
import type { Header } from './message.ts';
import type { Notes } from './notes.ts';
import type { OwnVectors } from './own-vectors.ts';
import type { Plan } from './plan.ts';
import { sumRoot } from './reduce.ts';
import type { Routes } from './routes.ts';
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
    routes,
    wire,
    memory,
    vectors,
    notes,
  }: {
    readonly plan: Plan;
    readonly routes: Routes;
    readonly wire: Wire;
    readonly memory: ExchangeMemory;
    readonly vectors: Pick<OwnVectors, 'ownLeaves' | 'publishChunk' | 'publishedBytes'>;
    readonly notes: Notes;
  },
  state: StepState,
  arrivals: Arrivals,
): Publisher {
  const resultHeader = ({ index, chunk: { offset, count } }: OwnChunk, inMemory = false): Header =>
    wire.header('result', state.step, {
      encoding: plan.compression,
      inMemory,
      owner: wire.rank,
      chunk: index,
      offset,
      count,
      digest: state.digest,
    });
  function publish(entry: OwnChunk, data: Uint8Array): void {
    if (routes.isApart) {
      wire.sendAll(resultHeader(entry), data);
      return;
    }
    if (!routes.isTogether) wire.sendToHosts(resultHeader(entry), data);
    if (routes.mates.length === 0) return;
    const header = resultHeader(entry, true);
    const note = notes.noteOf(data);
    wire.stats.bytesShared += data.length;
    if (routes.isTogether) wire.sendAll(header, note);
    else for (const mate of routes.mates) wire.sendTo(mate, header, note);
  }

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
      publish(entry, data);
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
