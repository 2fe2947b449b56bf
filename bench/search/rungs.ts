// What our own table says: how well an evaluation that was cut short, or a score of the initial weights, foretells the
// full one, and how many epochs ASHA and Hyperband need to one of the best. A search sees what one training seed gave;
// which candidates are the best is the mean of all seeds.

import type { SearchSpace } from '../../coordinator/strategies/search-space.ts';
import { strategyOf } from '../../coordinator/strategies/strategies.ts';
import { randomStream } from '../../core/rng.ts';
import { kendallTau, tauInterval } from '../../core/search/kendall.ts';
import { type StrategySpec, strategySchema } from '../../core/spec/strategy.ts';
import { simulated } from '../../test/support/simulated-search.ts';
import { atMost, type Goal, median, say } from '../goals.ts';
import { type OwnCandidate, type OwnTable, SETTING } from './own-table.ts';

const { epochs: EPOCHS } = SETTING.training;
/** Part of the candidates that are the best. */
const TOP = 0.05;
/** Results that a move does not wait for. */
const LAG = 4;
/** What ASHA may need of the epochs of full evaluations. */
const ASHA_OF_FULL = 1 / 3;

const mean = (numbers: readonly number[]) => numbers.reduce((sum, one) => sum + one, 0) / numbers.length;
const finalOf = ({ accuracy }: OwnCandidate, seed: number) => accuracy[seed]![EPOCHS - 1]!;
const truthOf = (candidate: OwnCandidate) =>
  mean(candidate.accuracy.map((_, seed) => finalOf(candidate, seed)));

interface Agreement {
  readonly tau: number;
  readonly low: number;
  readonly high: number;
}

function agreementOf(a: readonly number[], b: readonly number[]): Agreement {
  const tau = kendallTau(a, b);
  return { tau, ...tauInterval(tau, a.length) };
}

const textOf = ({ tau, low, high }: Agreement) => `${tau.toFixed(3)} [${low.toFixed(3)}, ${high.toFixed(3)}]`;

/** Kendall's tau of what is known early with the full evaluation from another training seed. */
function agreements({ candidates }: OwnTable): Record<string, Agreement> {
  const rows: Record<string, Agreement> = {};
  const others = candidates.map((one) => finalOf(one, 1));
  for (let epochs = 1; epochs <= EPOCHS; epochs++)
    rows[`${epochs} of ${EPOCHS} epochs`] = agreementOf(
      candidates.map(({ accuracy }) => accuracy[0]![epochs - 1]!),
      others,
    );
  for (const name of Object.keys(candidates[0]!.scores)) {
    const scored = candidates.filter(({ scores }) => scores[name]![0] !== null);
    rows[name] = agreementOf(
      scored.map(({ scores }) => scores[name]![0]!),
      scored.map((one) => finalOf(one, 1)),
    );
  }
  for (const name of ['parameters', 'multiplyAdds'] as const)
    rows[name] = agreementOf(
      candidates.map((one) => one[name]),
      others,
    );
  return rows;
}

/** The candidates of the table, each drawn as often as another. */
function spaceOf({ candidates }: OwnTable): SearchSpace {
  const place = new Map(candidates.map(({ key }, at) => [key, at]));
  return {
    genes: [{ name: 'candidate', values: candidates.map(({ key }) => key) }],
    draw: (seed, number) => [
      randomStream({ seed, purpose: 'table', at: [number, 0] }).integer(candidates.length),
    ],
    keyOf: ([at]) => candidates[at!]!.key,
    genesOf: (key) => [place.get(key)!],
    costsOf: ([at]) => {
      const { parameters, multiplyAdds } = candidates[at!]!;
      return { parameters, multiplyAdds, mflops: (2 * multiplyAdds) / 1e6 };
    },
    violation: () => undefined,
    listed: () => undefined,
  };
}

/** Epochs that a search trains until one of the best has its full evaluation; all of its epochs without one. */
function epochsToTop(table: OwnTable, spec: StrategySpec): number {
  const byKey = new Map(table.candidates.map((one) => [one.key, one]));
  const best = table.candidates.map(truthOf).sort((a, b) => b - a);
  const bar = best[Math.max(0, Math.ceil(TOP * best.length) - 1)]!;
  const space = spaceOf(table);
  const trained = new Map<string, number>();
  let [epochs, isFound] = [0, false];
  simulated({
    ...{
      strategy: strategyOf(spec, space, { epochs: EPOCHS }),
      space,
      seed: spec.seed,
      trials: spec.trials,
      lag: LAG,
    },
    evaluate(key, asked = EPOCHS) {
      if (!isFound) {
        epochs += asked - (trained.get(key) ?? 0);
        trained.set(key, asked);
        isFound = asked === EPOCHS && truthOf(byKey.get(key)!) >= bar;
      }
      return [byKey.get(key)!.accuracy[0]![asked - 1]!];
    },
    until: () => isFound,
  });
  return epochs;
}

/** The rows and the goal of our own table. */
export function benchRungs(table: OwnTable, seeds: readonly number[]): { goals: Goal[]; rows: unknown } {
  const taus = agreements(table);
  say(`our own table: ${table.candidates.length} candidates, ${SETTING.trainingSeeds.length} seeds each`);
  for (const [name, one] of Object.entries(taus))
    say(`tau with the full evaluation of another seed, ${name}: ${textOf(one)}`);
  const trials = table.candidates.length;
  const kinds: Record<string, object> = {
    random: { kind: 'random' },
    asha: { kind: 'asha', eta: 3, epochsMin: 1 },
    'asha, mode: stop': { kind: 'asha', eta: 3, epochsMin: 1, mode: 'stop' },
    hyperband: { kind: 'hyperband', eta: 3, epochsMin: 1 },
  };
  const epochs = Object.fromEntries(
    Object.entries(kinds).map(([name, more]) => [
      name,
      median(seeds.map((seed) => epochsToTop(table, strategySchema.parse({ ...more, seed, trials })))),
    ]),
  );
  say(`epochs to the top 5 %, median: ${JSON.stringify(epochs)}`);
  const goal = atMost(
    'asha, epochs to the top 5 %, of full evaluations',
    epochs.asha! / epochs.random!,
    ASHA_OF_FULL,
    '',
  );
  return { goals: [goal], rows: { taus, epochs, candidates: trials } };
}
