// One member's part in a step as a collector of the slices that others have finished. Decides where a result
// is read into: exact sums straight to their place in the sum, encoded ones to a place of their own from
// which they are decoded. What a neighbour publishes is read where it lies; its exact slices are mapped into this
// member's sum.

import { FleetError } from '../errors.ts';
import { type ExchangeMemory, encodedBytes, padded } from './memory.ts';
import type { Header } from './message.ts';
import type { Neighbours } from './neighbours.ts';
import type { Notes } from './notes.ts';
import type { Plan } from './plan.ts';
import { decode } from './reduce.ts';
import { firstUnset, meaningOfResult, type OwnerState, type StepState } from './step-state.ts';
import type { Place, Wire } from './wire.ts';

export interface Collector {
  /** 'skip' for what is here already or cannot be of this step; throws when no plan asks for it. */
  placeResult(header: Header): Place;
  /** A result has been read to its place; undefined for a repetition, else its owner. */
  acceptResult(header: Header): OwnerState | undefined;
  /** A note about a result; undefined for a repetition, and for data that is not what the note is about. */
  acceptNote(header: Header, note: Uint8Array): OwnerState | undefined;
}

export function createCollector(
  {
    plan,
    wire,
    memory,
    neighbours,
    notes,
  }: {
    readonly plan: Plan;
    readonly wire: Wire;
    readonly memory: ExchangeMemory;
    readonly neighbours: Pick<Neighbours, 'publishedAt'>;
    readonly notes: Pick<Notes, 'isAbout'>;
  },
  state: StepState,
): Collector {
  const { layout, kernels } = memory;
  const { compression } = plan;

  /** Counts what is not new; throws when no plan asks for it. */
  function isNew(header: Header): boolean {
    switch (meaningOfResult(state, header)) {
      case 'unplanned':
        throw new FleetError(
          'invalidArgument',
          `${wire.nameOf(header.source)} published what no plan asks for`,
        );
      case 'early':
        wire.stats.refused++;
        return false;
      case 'repeated':
        wire.stats.duplicates++;
        return false;
      case 'new':
        return true;
    }
  }

  /** An exact result is in its place already; an encoded one lies at `at`. */
  function accept({ source, chunk, offset, count }: Header, at: number): OwnerState {
    if (compression !== 'none')
      decode(kernels, layout.sum + offset * 4, { encoding: compression, at }, padded(count));
    const owner = state.owners[source]!;
    owner.results[chunk] = true;
    owner.resultsBefore = firstUnset(owner.results, owner.resultsBefore);
    state.chunksOpen--;
    return owner;
  }

  return {
    placeResult(header) {
      if (!isNew(header)) return 'skip';
      const at = compression === 'none' ? layout.sum + header.offset * 4 : layout.arriving;
      return memory.bytes(at, encodedBytes(compression, header.count));
    },
    acceptResult: (header) => (isNew(header) ? accept(header, layout.arriving) : undefined),
    acceptNote(header, note) {
      if (!isNew(header)) return undefined;
      const { source, chunk, count } = header;
      const at = neighbours.publishedAt(source, plan.chunks[source]![chunk]!);
      if (at !== undefined && notes.isAbout(note, at, encodedBytes(compression, count)))
        return accept(header, at);
      wire.stats.refused++;
      return undefined;
    },
  };
}
