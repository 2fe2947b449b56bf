// The rungs of a search that stops most candidates early: epochs that grow by a factor, up to the full evaluation; and
// what such a search does where no rung decides.

import type { AshaSpec } from '../../core/spec/strategy.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';
import type { SearchSpace } from './search-space.ts';
import type { Fidelity, Proposal, Turn } from './strategy.ts';

/** Epochs of each rung, ascending; the last one is the full evaluation. */
export type Rungs = readonly number[];

/** From `first` epochs on, each rung `eta` times the one before, below the full evaluation. */
export function rungsOf(options: {
  readonly first: number;
  readonly eta: number;
  readonly epochs: number;
}): Rungs {
  const { first, eta, epochs } = options;
  const rungs: number[] = [];
  for (let at = first; at < epochs; at = Math.round(at * eta)) rungs.push(at);
  return [...rungs, epochs];
}

/** The fidelity of a rung as a field of a move; the full evaluation has none. */
export function fidelityOf(rungs: Rungs, rung: number): { readonly fidelity?: Fidelity } {
  return rung >= rungs.length - 1 ? {} : { fidelity: { epochs: rungs[rung]! } };
}

/** The rung of a fidelity. */
export function rungOf(rungs: Rungs, fidelity: Fidelity | undefined): number {
  return fidelity === undefined ? rungs.length - 1 : rungs.indexOf(fidelity.epochs);
}

/**
 * The stages at which a run is verified on its way, from the rung of its trial on; undefined where it halts at its
 * rung, or has none.
 */
export function passedRungs(
  { strategy, evaluation }: SweepSpec,
  fidelity: Fidelity | undefined,
): readonly number[] | undefined {
  if (fidelity === undefined || !goesOnAtRungs({ strategy })) return undefined;
  const { epochsMin: first, eta } = strategy as AshaSpec;
  const { epochs } = evaluation.training;
  return rungsOf({ first, eta, epochs }).filter((rung) => rung >= fidelity.epochs && rung < epochs);
}

/** Whether trials go on while they are judged. */
export const goesOnAtRungs = ({ strategy }: Pick<SweepSpec, 'strategy'>): boolean =>
  strategy.kind === 'asha' && strategy.atRungs === 'go-on';

/** Trials that a reason names. */
const NAMED_MAX = 5;

/** `trial 4`, or `trials 4, 6 and 7`: some of them, and how many more there are. */
export function trialsText(trials: readonly number[]): string {
  if (trials.length === 1) return `trial ${trials[0]}`;
  const named = trials.slice(0, trials.length > NAMED_MAX ? NAMED_MAX : trials.length - 1);
  const others = trials.length - named.length;
  return `trials ${named.join(', ')} and ${others === 1 ? trials.at(-1) : `${others} more`}`;
}

/** What ASHA does where no trial goes on: it begins one, or waits for evaluations that are pending, or it is done. */
export function beginOrWait(
  search: { readonly spec: AshaSpec; readonly space: SearchSpace; readonly rungs: Rungs },
  pending: readonly { readonly trial: number }[],
  turn: Turn,
): Proposal {
  const { spec, space, rungs } = search;
  if (turn.mayBegin)
    return {
      kind: 'evaluate',
      reason: `drawn at random, begins with ${rungs[0]} of ${rungs.at(-1)} epochs`,
      genes: space.draw(spec.seed, turn.draw),
      parents: [],
      ...fidelityOf(rungs, 0),
    };
  if (pending.length > 0) {
    const named = trialsText(pending.map(({ trial }) => trial));
    return {
      kind: 'wait',
      reason: `no rung lets a trial go on before another result, of ${named} (the best 1/${spec.eta} of a rung go on)`,
    };
  }
  return {
    kind: 'done',
    reason: `no trial is among the best 1/${spec.eta} of its rung that has not gone on`,
  };
}
