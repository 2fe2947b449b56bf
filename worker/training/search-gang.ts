// The sums of a search beside those of its steps' last rounds: the rounds before them, and evaluations at the ends of
// stages. Decides which exchange carries which: there is one for each length, and all begin at round 0 in each
// generation, since a step or an evaluation that a change of the gang interrupts is begun again.

import type { Exchange, ExchangeStats, ReduceOptions } from '../../core/allreduce/exchange.ts';
import { NO_DIGEST } from '../../core/allreduce/message.ts';
import { type Round, roundLength, type SearchSizes } from '../../core/search/rounds.ts';
import type { GangPlace } from './procedure.ts';

/** The sum of a round. */
export interface RoundExchange {
  /** Memory for the vector of an own shard. */
  readonly vector: (shard: number) => Float32Array;
  /** The mean over all shards, valid until the next sum of a round of this length. `fresh`: as of ReduceOptions. */
  readonly sum: (
    vectors: ReadonlyMap<number, Float32Array>,
    options: Required<Omit<ReduceOptions, 'summed'>>,
  ) => Promise<Float32Array>;
}

export interface SearchGang {
  exchangeOf(round: Round): RoundExchange;
  /** Of the evaluations at the end of a stage. */
  evaluation(): RoundExchange;
  /** Counters of each of the exchanges. */
  stats(): readonly Readonly<ExchangeStats>[];
  leave(): void;
}

/** whole: gradients of weights and alphas. alphas: of alphas alone. sides: of alphas at both sides. evaluation: scores. */
const EXCHANGES = ['whole', 'alphas', 'sides', 'evaluation'] as const;
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
    /** Length of a vector of scores; 0: nothing is evaluated. */
    readonly scores: number;
    readonly shards: number;
  },
): Promise<SearchGang> {
  const { plane, runId, generation, rank, members, shards, sizes, onSuspects, signal } = options;
  const exchanges = new Map<ExchangeName, Exchange>();
  const next = new Map<ExchangeName, number>();
  const leave = () => {
    for (const exchange of exchanges.values()) exchange.close();
  };
  const open = (name: ExchangeName, elements: number) => {
    if (exchanges.has(name)) return;
    const own = exchangeName(runId, name);
    const exchange = plane.createExchange({
      ...{ runId: own, generation, rank, members, shards, elements },
      factor: 1 / shards,
      // All members begin at round 0 in each generation, so none is ever behind and needs a state.
      provideState: () => {
        throw new Error('assertion: an exchange of a round has no state');
      },
      onSuspects: (suspects) => onSuspects(own, suspects),
      signal,
    });
    exchanges.set(name, exchange);
  };
  try {
    for (const round of options.rounds.slice(0, -1)) open(nameOf(round), roundLength(sizes, round));
    if (options.scores > 0) open('evaluation', options.scores);
    await Promise.all(
      [...exchanges.values()].map((exchange) => exchange.sync({ step: 0, digest: NO_DIGEST })),
    );
  } catch (caught) {
    leave();
    throw caught;
  }
  const roundExchange = (name: ExchangeName): RoundExchange => {
    const exchange = exchanges.get(name)!;
    return {
      vector: exchange.vector,
      sum: (vectors, reduceOptions) => {
        const at = next.get(name) ?? 0;
        next.set(name, at + 1);
        return exchange.reduce(at, vectors, reduceOptions);
      },
    };
  };
  return {
    exchangeOf: (round) => roundExchange(nameOf(round)),
    evaluation: () => roundExchange('evaluation'),
    stats: () => [...exchanges.values()].map((exchange) => exchange.stats()),
    leave,
  };
}
