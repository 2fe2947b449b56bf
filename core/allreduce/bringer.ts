// One member's part in a step as the one to whom results of owners elsewhere come, for its group: written to its file
// once, from which the others copy them. Decides what the others get: a note, or the data where the file has no room.
// They wait for this member with their questions about such results, as for those of its own slices.

import { type ExchangeMemory, encodedBytes } from './memory.ts';
import type { Header } from './message.ts';
import type { Neighbours } from './neighbours.ts';
import type { Notes } from './notes.ts';
import type { Chunk, Plan } from './plan.ts';
import type { Routes } from './routes.ts';
import type { OwnerState, StepState } from './step-state.ts';
import type { Wire } from './wire.ts';

export interface Bringer {
  /** A result has come, and lies at `at` as it travels. */
  bring(owner: OwnerState, chunk: number, at: number): void;
  /** Sends a result to one that misses it; false when it is not here. */
  repeat(owner: OwnerState, chunk: number, asker: number): boolean;
}

export function createBringer(
  {
    plan,
    routes,
    wire,
    memory,
    neighbours,
    notes,
  }: {
    readonly plan: Plan;
    readonly routes: Routes;
    readonly wire: Wire;
    readonly memory: ExchangeMemory;
    readonly neighbours: Pick<Neighbours, 'bring' | 'readBrought'>;
    readonly notes: Notes;
  },
  state: StepState,
): Bringer {
  const { layout } = memory;
  /** Results of the newest step for which the file has no room, by offset. */
  const kept = new Map<number, Uint8Array>();

  function headerOf(owner: OwnerState, chunk: number, inMemory: boolean): Header {
    const { offset, count } = owner.chunks[chunk]!;
    return wire.header('result', state.step, {
      ...{ encoding: plan.compression, inMemory, owner: owner.rank, chunk, offset, count },
      digest: state.digest,
    });
  }

  /** Exact results are in the sum, compressed ones in the file alone. */
  function readAgain(range: Chunk): Uint8Array | undefined {
    const bytes = encodedBytes(plan.compression, range.count);
    const isExact = plan.compression === 'none';
    const data = memory.bytes(isExact ? layout.sum + range.offset * 4 : layout.fetched, bytes);
    if (!isExact && !neighbours.readBrought(wire.rank, range, data)) return undefined;
    return notes.isUnchanged(data, keyOf(range)) ? Uint8Array.from(data) : undefined;
  }

  const toAll = (header: Header, data: Uint8Array): void => {
    for (const mate of routes.mates) wire.sendTo(mate, header, data);
  };

  return {
    bring(owner, chunk, at) {
      if (routes.mates.length === 0 || !routes.brings(owner.rank)) return;
      const range = owner.chunks[chunk]!;
      const data = memory.bytes(at, encodedBytes(plan.compression, range.count));
      kept.delete(range.offset);
      if (neighbours.bring(range, data)) {
        wire.stats.bytesShared += data.length;
        toAll(headerOf(owner, chunk, true), notes.noteOf(data, keyOf(range)));
        return;
      }
      const copy = Uint8Array.from(data);
      kept.set(range.offset, copy);
      toAll(headerOf(owner, chunk, false), copy);
    },
    repeat(owner, chunk, asker) {
      const range = owner.chunks[chunk];
      if (range === undefined || !owner.results[chunk] || !routes.brings(owner.rank)) return false;
      const data = kept.get(range.offset) ?? readAgain(range);
      if (data === undefined) return false;
      wire.sendTo(asker, headerOf(owner, chunk, false), data);
      return true;
    },
  };
}

/** A key that is no address. */
const keyOf = ({ offset }: Chunk): number => -1 - offset;
