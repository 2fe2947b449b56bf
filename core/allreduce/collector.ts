// One member's part in a step as a collector of the slices that others have finished. Decides where a result
// is read into: exact sums straight to their place in the sum, encoded ones to a place of their own from
// which they are decoded.

import { FleetError } from '../errors.ts';
import { type ExchangeMemory, encodedBytes, padded } from './memory.ts';
import type { Header } from './message.ts';
import type { Plan } from './plan.ts';
import { decode } from './reduce.ts';
import { firstUnset, meaningOfResult, type OwnerState, type StepState } from './step-state.ts';
import type { Place, Wire } from './wire.ts';

export interface Collector {
  /** 'skip' for what is here already or cannot be of this step; throws when no plan asks for it. */
  placeResult(header: Header): Place;
  /** A result has been read to its place; undefined for a repetition, else its owner. */
  acceptResult(header: Header): OwnerState | undefined;
}

export function createCollector(
  { plan, wire, memory }: { readonly plan: Plan; readonly wire: Wire; readonly memory: ExchangeMemory },
  state: StepState,
): Collector {
  const { layout, kernels } = memory;
  const { compression } = plan;
  return {
    placeResult(header) {
      switch (meaningOfResult(state, header)) {
        case 'unplanned':
          throw new FleetError(
            'invalidArgument',
            `${wire.nameOf(header.source)} published what no plan asks for`,
          );
        case 'early':
          wire.stats.refused++;
          return 'skip';
        case 'repeated':
          wire.stats.duplicates++;
          return 'skip';
        case 'new': {
          const at = compression === 'none' ? layout.sum + header.offset * 4 : layout.arriving;
          return memory.bytes(at, encodedBytes(compression, header.count));
        }
      }
    },
    acceptResult(header) {
      if (meaningOfResult(state, header) !== 'new') {
        wire.stats.duplicates++;
        return undefined;
      }
      const { source, chunk, offset, count } = header;
      if (compression !== 'none')
        decode(
          kernels,
          layout.sum + offset * 4,
          { encoding: compression, at: layout.arriving },
          padded(count),
        );
      const owner = state.owners[source]!;
      owner.results[chunk] = true;
      owner.resultsBefore = firstUnset(owner.results, owner.resultsBefore);
      state.chunksOpen--;
      return owner;
    },
  };
}
