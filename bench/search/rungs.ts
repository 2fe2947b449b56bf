// What our own table says: how well an evaluation that was cut short, or a score of the initial weights, foretells the
// full one, and how many epochs ASHA and Hyperband need until one of the best has its full evaluation. A search sees
// what the first training seed gave, by which the best are the best; the other seed says how much of that is noise.
//
// The best 5 % are some ten networks, and a strategy with rungs finds one of them in its first bracket or in its
// second, which takes as long again. So its median jumps from one eta to the next by what these ten happened to have
// after their first epochs; the mean jumps less and is told beside it.

import type { SearchSpace } from '../../coordinator/strategies/search-space.ts';
import { strategyOf } from '../../coordinator/strategies/strategies.ts';
import { randomStream } from '../../core/rng.ts';
import { kendallTau, tauInterval } from '../../core/search/kendall.ts';
import type { ProposingSpec } from '../../core/spec/strategy.ts';
import { simulated } from '../../test/support/simulated-search.ts';
import { atMost, type Goal, median, say } from '../goals.ts';
import { type OwnCandidate, type OwnTable, SETTING } from './own-table.ts';
import { proposingSpec } from './proposing-spec.ts';

const { epochs: EPOCHS } = SETTING.training;
/** Part of the candidates that are the best. */
const TOP = 0.05;
/** Results that a move does not wait for. */
const LAG = 4;
/** What ASHA may need of the epochs of full evaluations. */
const ASHA_OF_FULL = 1 / 3;
/** Candidates from which on the table judges a strategy: the best 5 % of fewer are one or two, whose rank is luck. */
const JUDGES = 100;

/** Searches for each seed that the bench was asked for: they cost little, and a median of few moves by much. */
const SEARCHES = 10;
/** Of what is told. */
const ETAS = [2, 3, 4, 8, 16];
/** Of the goal: the best one on this table. The default is 3. */
const ETA = 8;
const STAGES: readonly number[] = SETTING.stages;
/** The stages whose agreement with the full evaluation is told: powers of two. */
const TOLD: readonly number[] = STAGES.filter((epochs) => Number.isInteger(Math.log2(epochs)));

const finalOf = ({ auc }: OwnCandidate, seed = 0) => auc[seed]!.at(-1)!;

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

/** Kendall's tau of what is known early with the full evaluation: that of the same training, and of another seed. */
function agreements({ candidates }: OwnTable): Record<string, Agreement> {
  const rows: Record<string, Agreement> = {};
  const full = candidates.map((one) => finalOf(one));
  const seeded = candidates.filter(({ auc }) => auc.length > 1);
  const others = seeded.map((one) => finalOf(one, 1));
  for (const epochs of TOLD) {
    const at = STAGES.indexOf(epochs);
    const early = `${epochs} of ${EPOCHS} epochs`;
    if (epochs < EPOCHS)
      rows[early] = agreementOf(
        candidates.map(({ auc }) => auc[0]![at]!),
        full,
      );
    rows[`${early}, another seed`] = agreementOf(
      seeded.map(({ auc }) => auc[0]![at]!),
      others,
    );
  }
  for (const name of Object.keys(candidates[0]!.scores)) {
    const scored = candidates.filter(({ scores }) => scores[name] !== null);
    rows[name] = agreementOf(
      scored.map(({ scores }) => scores[name]!),
      scored.map((one) => finalOf(one)),
    );
  }
  for (const name of ['parameters', 'multiplyAdds'] as const)
    rows[name] = agreementOf(
      candidates.map((one) => one[name]),
      full,
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

/**
 * Epochs that a search trains until one of the best has its full evaluation; all of its epochs without one.
 * `isForetold`: whether a result that comes early is already that of the full evaluation.
 */
function epochsToTop(table: OwnTable, spec: ProposingSpec, isForetold = false): number {
  const byKey = new Map(table.candidates.map((one) => [one.key, one]));
  const best = table.candidates.map((one) => finalOf(one)).sort((a, b) => b - a);
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
        isFound = asked === EPOCHS && finalOf(byKey.get(key)!) >= bar;
      }
      const { auc } = byKey.get(key)!;
      return [auc[0]![STAGES.indexOf(isForetold ? EPOCHS : asked)]!];
    },
    until: () => isFound,
  });
  return epochs;
}

interface Epochs {
  readonly median: number;
  readonly mean: number;
}

/** The rows and the goal of our own table. */
export function benchRungs(table: OwnTable, seeds: readonly number[]): { goals: Goal[]; rows: unknown } {
  const taus = agreements(table);
  const trials = table.candidates.length;
  const seeded = table.candidates.filter(({ auc }) => auc.length > 1).length;
  say(`our own table: ${trials} candidates, ${seeded} of them from ${SETTING.trainingSeeds.length} seeds`);
  for (const [name, one] of Object.entries(taus))
    say(`tau with the full evaluation, ${name}: ${textOf(one)}`);
  const searches = Array.from({ length: SEARCHES * seeds.length }, (_, i) => i + 1);
  const kinds: Record<string, readonly [of: object, isForetold?: boolean]> = { random: [{ kind: 'random' }] };
  for (const eta of ETAS) {
    const rungs = { eta, epochsMin: 1 };
    kinds[`asha, eta: ${eta}`] = [{ kind: 'asha', ...rungs }];
    kinds[`asha, eta: ${eta}, mode: stop`] = [{ kind: 'asha', ...rungs, mode: 'stop' }];
    kinds[`hyperband, eta: ${eta}`] = [{ kind: 'hyperband', ...rungs }];
  }
  kinds['asha, if a first epoch foretold the last'] = [{ kind: 'asha', eta: ETA, epochsMin: 1 }, true];
  const epochs: Record<string, Epochs> = {};
  for (const [name, [more, isForetold]] of Object.entries(kinds)) {
    const each = searches.map((seed) =>
      epochsToTop(table, proposingSpec({ ...more, seed, trials }), isForetold),
    );
    epochs[name] = { median: median(each), mean: each.reduce((sum, one) => sum + one, 0) / each.length };
    const of = (how: keyof Epochs) =>
      `${how} ${epochs[name]![how].toFixed(1)} (${(epochs[name]![how] / epochs.random![how]).toFixed(2)})`;
    say(`epochs to the top 5 %, ${name}: ${of('median')}, ${of('mean')}`);
  }
  const rows = { taus, epochs, candidates: trials };
  const share = epochs[`asha, eta: ${ETA}`]!.median / epochs.random!.median;
  if (trials >= JUDGES)
    return {
      goals: [
        atMost(`asha, eta: ${ETA}, epochs to the top 5 %, of full evaluations`, share, ASHA_OF_FULL, ''),
      ],
      rows,
    };
  say(
    `asha took ${share.toFixed(2)} of the epochs of random search, which is no verdict: ${JUDGES} candidates are needed, and npm run generate:search-table -- --candidates=${JUDGES} goes on with the table`,
  );
  return { goals: [], rows };
}
