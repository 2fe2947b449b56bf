// The rungs of a search that stops most candidates early: epochs, or parts of the images or channels, that grow by a
// factor up to the full evaluation; and what such a search does where no rung decides.

import type { AshaSpec, HyperbandSpec } from '../../core/spec/strategy.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';
import { amountOf, type Fidelity, fidelityKindOf } from './fidelity.ts';
import type { SearchSpace } from './search-space.ts';
import type { Proposal, Turn } from './strategy.ts';

/** Epochs, or the part of the images or channels, of each rung, ascending; the last one is the full evaluation. */
export type Rungs = readonly number[];

/** A strategy with rungs. */
export type HalvingSpec = AshaSpec | HyperbandSpec;

/** The rungs of a strategy whose full evaluation has so many epochs. */
export function rungsFor(spec: HalvingSpec, epochs: number): Rungs {
  const { eta, epochsMin, fractionMin = 1 / (eta * eta) } = spec;
  if (fidelityKindOf(spec) === 'epochs') return rungsOf({ first: epochsMin, eta, epochs });
  const rungs: number[] = [];
  for (let at = fractionMin; at.toFixed(DIGITS) < FULL; at *= eta) rungs.push(Number(at.toFixed(DIGITS)));
  return [...rungs, 1];
}

/** To how many digits parts are rounded. */
const DIGITS = 4;
const FULL = (1).toFixed(DIGITS);

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

/** A strategy with its rungs. */
export interface Ladder {
  readonly spec: HalvingSpec;
  readonly rungs: Rungs;
}

/** The fidelity of a rung as a field of a move; the full evaluation has none. */
export function fidelityOf({ spec, rungs }: Ladder, rung: number): { readonly fidelity?: Fidelity } {
  return rung >= rungs.length - 1 ? {} : { fidelity: { [fidelityKindOf(spec)]: rungs[rung]! } };
}

/** The rung of a fidelity. */
export function rungOf(rungs: Rungs, fidelity: Fidelity | undefined): number {
  return fidelity === undefined ? rungs.length - 1 : rungs.indexOf(amountOf(fidelity));
}

/** `at 3 epochs`, `on 0.25 of the images`, `at 0.5 of the width`. */
export function atText({ spec, rungs }: Ladder, rung: number): string {
  const amount = rungs[rung]!;
  const of = { epochs: `at ${amount} epochs`, images: `on ${partText(amount)} images` };
  return { ...of, width: `at ${partText(amount)} width` }[spec.fidelity ?? 'epochs'];
}

/** `0.25 of the`, `the full`. */
const partText = (part: number): string => (part === 1 ? 'all of the' : `${part} of the`);

/** `begins with 1 of 9 epochs`, `begins on 0.25 of the images`. */
export function beginsText(ladder: Ladder, rung: number): string {
  const { spec, rungs } = ladder;
  if (fidelityKindOf(spec) === 'epochs') return `begins with ${rungs[rung]} of ${rungs.at(-1)} epochs`;
  return `begins ${atText(ladder, rung)}`;
}

/** `goes on to 9`; with another part of the images or of the channels it is another training: `begins anew ...`. */
export function goesOnText(ladder: Ladder, rung: number): string {
  if (fidelityKindOf(ladder.spec) === 'epochs') return `goes on to ${ladder.rungs[rung]}`;
  return `begins anew ${atText(ladder, rung)}, which is another training`;
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
  const { epochs } = evaluation.training;
  const own = amountOf(fidelity);
  return rungsFor(strategy as AshaSpec, epochs).filter((rung) => rung >= own && rung < epochs);
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
  const { spec, space } = search;
  if (turn.mayBegin)
    return {
      kind: 'evaluate',
      reason: `drawn at random, ${beginsText(search, 0)}`,
      genes: space.draw(spec.seed, turn.draw),
      parents: [],
      ...fidelityOf(search, 0),
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
