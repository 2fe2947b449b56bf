// Gathering by summing: each member writes its own part of a vector and leaves zeros elsewhere, so that the
// sum over the members is the concatenation of all parts.
//
// x + 0 is x in float32 for every x but -0, which becomes 0, so the order of the additions does not matter
// and any exchange will do. What is gathered must have no -0 whose sign counts (core/head/rows.ts keeps it
// out of class shards).

import type { Exchange } from '../../core/allreduce/exchange.ts';

/**
 * Writes the own part with `fill` and returns all parts, which are valid until the next call. All members
 * call it in one order.
 */
export type Gather = (fill: (own: Float32Array) => void, digest: string) => Promise<Float32Array>;

/** `exchange`: one in which each member has one vector, and nothing else uses. */
export function createGather(exchange: Exchange, rank: number): Gather {
  let round = 0;
  return async (fill, digest) => {
    const own = exchange.vector(rank);
    own.fill(0);
    fill(own);
    return exchange.reduce(round++, new Map([[rank, own]]), { digest });
  };
}
