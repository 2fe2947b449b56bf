// The computations of the compute thread that are between their two parts, by number. Decides that each is
// finished or released once, and counts what they keep, whether they are in the table or about to finish.

import { FleetError } from '../../core/errors.ts';
import type { Begun, EngineInput } from '../../core/tensor/graph/engine.ts';
import type { GraphCache } from './graphs.ts';
import type { Keeping } from './keeping.ts';
import type { Arrays, TwoPartSpec } from './messages.ts';

/** The computations of the compute thread that are begun, by number. */
export interface BegunTable {
  begin(
    graph: TwoPartSpec,
    inputs: readonly EngineInput[],
  ): { readonly begun: number; readonly outputs: Float32Array[] };
  /** With `into` the first output is written there and is no part of the result. */
  finish(begun: number, inputs: Arrays, into?: Float32Array): Float32Array[];
  /** Nothing for a number that is not there. */
  release(begun: number): void;
  /** What is kept. */
  gauges(): { readonly tensors: number; readonly bytes: number };
}

/** Nothing is begun at first. */
export function createBegunTable(options: {
  readonly graphs: Pick<GraphCache, 'twoPart'>;
  readonly keeping: Keeping;
}): BegunTable {
  const { graphs, keeping } = options;
  const open = new Map<number, Begun>();
  let next = 1;
  /** Takes it out of the table; it counts until it is over. */
  const take = (begun: number): Begun | undefined => {
    const found = open.get(begun);
    open.delete(begun);
    if (found) keeping.frees(found.kept.bytes);
    return found;
  };
  return {
    begin(spec, inputs) {
      const graph = graphs.twoPart(spec);
      const { keptBytes } = graph;
      const keep = keptBytes !== undefined && keeping.mayKeep(keptBytes);
      const found = graph.begin(inputs, keep);
      keeping.keeps(found.kept.bytes);
      open.set(next, found);
      return { begun: next++, outputs: found.outputs };
    },
    finish(begun, inputs, into) {
      const found = take(begun);
      if (found === undefined)
        throw new FleetError(
          'failedPrecondition',
          `computation ${begun} is not begun here, or was finished or released before; begin it again`,
        );
      return found.finish([...inputs], into);
    },
    release: (begun) => take(begun)?.release(),
    gauges: () => ({
      tensors: [...open.values()].reduce((sum, { kept }) => sum + kept.tensors, 0),
      bytes: keeping.bytes(),
    }),
  };
}
