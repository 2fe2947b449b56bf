// The sums of a search's rounds that come before the last one of their step. Decides which exchange carries which
// round: there is one for each length, and all begin at round 0 in each generation, since a step that a change of
// the gang interrupts is begun again.

import type { Exchange, ExchangeStats } from '../../core/allreduce/exchange.ts';
import { NO_DIGEST } from '../../core/allreduce/message.ts';
import { type Round, roundLength, type SearchSizes } from '../../core/search/rounds.ts';
import type { GangPlace } from './procedure.ts';

/** The sum of a round. */
export interface RoundExchange {
  /** Memory for the vector of an own shard. */
  readonly vector: (shard: number) => Float32Array;
  /** The mean over all shards, valid until the next sum of a round of this length. */
  readonly sum: (vectors: ReadonlyMap<number, Float32Array>, digest: string) => Promise<Float32Array>;
}

export interface SearchGang {
  exchangeOf(round: Round): RoundExchange;
  /** Counters of each of the exchanges. */
  stats(): readonly Readonly<ExchangeStats>[];
  leave(): void;
}

/** whole: gradients of weights and alphas. alphas: of alphas alone. sides: of alphas at both sides. */
const EXCHANGES = ['whole', 'alphas', 'sides'] as const;
type ExchangeName = (typeof EXCHANGES)[number];

const exchangeName = (runId: string, name: ExchangeName): string => `${runId}-search-${name}`;

export const searchExchangeNames = (runId: string): string[] =>
  EXCHANGES.map((name) => exchangeName(runId, name));

function nameOf({ passes }: Round): ExchangeName {
  if (passes.length > 1) return 'sides';
  return passes[0]!.wanted === 'alphas' ? 'alphas' : 'whole';
}

export async function joinSearchGang(
  options: GangPlace & {
    readonly sizes: SearchSizes;
    /** Of a step after the warm-up. */
    readonly rounds: readonly Round[];
    readonly shards: number;
  },
): Promise<SearchGang> {
  const { plane, runId, generation, rank, members, shards, sizes, onSuspects, signal } = options;
  const exchanges = new Map<ExchangeName, Exchange>();
  const next = new Map<ExchangeName, number>();
  const leave = () => {
    for (const exchange of exchanges.values()) exchange.close();
  };
  try {
    for (const round of options.rounds.slice(0, -1)) {
      const name = nameOf(round);
      if (exchanges.has(name)) continue;
      const own = exchangeName(runId, name);
      const exchange = plane.createExchange({
        ...{ runId: own, generation, rank, members, shards },
        elements: roundLength(sizes, round),
        factor: 1 / shards,
        // All members begin at round 0 in each generation, so none is ever behind and needs a state.
        provideState: () => {
          throw new Error('assertion: an exchange of a round has no state');
        },
        onSuspects: (suspects) => onSuspects(own, suspects),
        signal,
      });
      exchanges.set(name, exchange);
    }
    await Promise.all(
      [...exchanges.values()].map((exchange) => exchange.sync({ step: 0, digest: NO_DIGEST })),
    );
  } catch (caught) {
    leave();
    throw caught;
  }
  return {
    exchangeOf(round) {
      const name = nameOf(round);
      const exchange = exchanges.get(name)!;
      return {
        vector: exchange.vector,
        sum: (vectors, digest) => {
          const at = next.get(name) ?? 0;
          next.set(name, at + 1);
          return exchange.reduce(at, vectors, { digest });
        },
      };
    },
    stats: () => [...exchanges.values()].map((exchange) => exchange.stats()),
    leave,
  };
}
