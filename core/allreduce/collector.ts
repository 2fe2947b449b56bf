// One member's part in a step as a collector of the slices that others have finished. Decides where a result
// is read into: exact sums straight to their place in the sum, encoded ones to a place of their own from
// which they are decoded. What a neighbour publishes is read where it lies; its exact slices are mapped into this
// member's sum. What a neighbour has brought from an owner elsewhere is copied from its file, and what comes here for
// the whole group is brought to the others.

import { FleetError } from '../errors.ts';
import type { Bringer } from './bringer.ts';
import { type ExchangeMemory, encodedBytes, padded } from './memory.ts';
import type { Header } from './message.ts';
import type { Neighbours } from './neighbours.ts';
import type { Notes } from './notes.ts';
import type { Plan } from './plan.ts';
import { decode } from './reduce.ts';
import type { Routes } from './routes.ts';
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
    readonly neighbours: Pick<Neighbours, 'publishedAt' | 'readBrought'>;
    readonly notes: Pick<Notes, 'isAbout'>;
  },
  state: StepState,
  bringer: Pick<Bringer, 'bring'>,
): Collector {
  const { layout, kernels } = memory;
  const { compression } = plan;

  /** Counts what is not new; throws when no plan asks for it. */
  function isNew(header: Header): boolean {
    const isAwaited = header.owner < wire.ranks && routes.bringer(header.owner) === header.source;
    switch (isAwaited ? meaningOfResult(state, header) : 'unplanned') {
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

  /** Where a result goes: exact sums to their place, encoded ones to a place from which they are decoded. */
  const placeOf = ({ offset }: Header): number =>
    compression === 'none' ? layout.sum + offset * 4 : layout.arriving;

  /** An exact result is in its place already; an encoded one lies at `at`. */
  function accept({ owner: rank, chunk, offset, count }: Header, at: number): OwnerState {
    const owner = state.owners[rank]!;
    // Before it is decoded, so that the others of the group need not wait for that.
    bringer.bring(owner, chunk, at);
    if (compression !== 'none')
      decode(kernels, layout.sum + offset * 4, { encoding: compression, at }, padded(count));
    owner.results[chunk] = true;
    owner.resultsBefore = firstUnset(owner.results, owner.resultsBefore);
    state.chunksOpen--;
    return owner;
  }

  /** Address of what a note is about; undefined where it cannot be read. */
  function noted(header: Header): number | undefined {
    const { source, owner, chunk, count } = header;
    const range = plan.chunks[owner]![chunk]!;
    if (source === owner) return neighbours.publishedAt(source, range);
    const at = placeOf(header);
    const isRead = neighbours.readBrought(source, range, memory.bytes(at, encodedBytes(compression, count)));
    return isRead ? at : undefined;
  }

  return {
    placeResult: (header) =>
      isNew(header) ? memory.bytes(placeOf(header), encodedBytes(compression, header.count)) : 'skip',
    acceptResult: (header) => (isNew(header) ? accept(header, placeOf(header)) : undefined),
    acceptNote(header, note) {
      if (!isNew(header)) return undefined;
      const at = noted(header);
      if (at !== undefined && notes.isAbout(note, at, encodedBytes(compression, header.count)))
        return accept(header, at);
      wire.stats.refused++;
      return undefined;
    },
  };
}
