// The sweep that a search begins with (`strategy.from`): whether it can be, asked at submit, and its results when the
// search begins.

import { FleetError } from '../../core/errors.ts';
import type { PlanSpec } from '../../core/spec/plan.ts';
import { sweepIn } from '../../core/spec/plan-search.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';
import { find } from '../model/find.ts';
import { type State, type SweepState, sweepOf, sweepWith } from '../model/state.ts';
import { resultsFor, type Searched, type WarmStart } from '../model/warm-start.ts';
import { aimsText } from '../strategies/standing.ts';

const FIELD = 'strategy.from';

/**
 * The spec with the id of the sweep that its search begins with in the place of a name. Throws why that sweep cannot be
 * it; the error names the field within the search.
 */
export function withStartById<S extends Searched>(state: State, spec: S): S {
  const { strategy } = spec;
  if (!('from' in strategy) || strategy.from === undefined) return spec;
  const { id } = usableStart(state, spec, strategy.from);
  return { ...spec, strategy: { ...strategy, from: id } };
}

/** As `withStartById`, for the search of a plan. */
export function planWithStartById(state: State, spec: PlanSpec): PlanSpec {
  const sweep = sweepIn(spec);
  return sweep === undefined ? spec : { ...spec, search: withStartById(state, sweep) };
}

function usableStart(state: State, spec: Searched, named: string): SweepState {
  const refuse = (why: string) =>
    new FleetError('invalidArgument', `${FIELD}: ${why}`, { details: { field: FIELD } });
  const { found, total } = find(state, named, ['sweep']);
  const [only] = found;
  if (only === undefined)
    throw refuse(`${JSON.stringify(named)} is no sweep of this fleet; see \`pocketfleet sweeps\``);
  if (total > 1)
    throw refuse(
      `${total} sweeps are named ${named}; give the id of one, e.g. ${found.map(({ id }) => id).join(', ')}`,
    );
  const sweep = sweepOf(state, only.id);
  const difference = spaceDifference(spec.space, sweep.spec.space);
  if (difference !== undefined)
    throw refuse(
      `${sweep.id} searched another space: its ${difference}; only one of the same space can be used`,
    );
  const [wanted, had] = [aimsText(spec), aimsText(sweep.spec)];
  if (wanted !== had)
    throw refuse(`${sweep.id} looked for other objectives: ${had}, and this search for ${wanted}`);
  if (resultsFor(state, sweep, spec).length === 0)
    throw refuse(
      `${sweep.id} has no result of a full evaluation within the constraints of this search (${sweep.trialsDone} of ${sweep.trialsTotal} trials done)`,
    );
  return sweep;
}

/** What is different in the other space, as a phrase; undefined where both have the same candidates. */
function spaceDifference(space: SweepSpec['space'], other: SweepSpec['space']): string | undefined {
  const formOf = ({ ops, ...rest }: SweepSpec['space']) => ({
    ...rest,
    ops: [...new Set(ops)].sort().join(' '),
  });
  const [own, its] = [formOf(space), formOf(other)];
  const field = (Object.keys(own) as (keyof typeof own)[]).find((key) => own[key] !== its[key]);
  return field === undefined
    ? undefined
    : `${field} ${field === 'ops' ? 'are' : 'is'} ${its[field]}, not ${own[field]}`;
}

/** The results that a search begins with, as a field of its event; none of a sweep that is gone meanwhile. */
export function startAtSubmit(state: State, spec: Searched): { readonly start?: WarmStart } {
  const { strategy } = spec;
  if (!('from' in strategy) || strategy.from === undefined) return {};
  const sweep = sweepWith(state, strategy.from);
  const trials = sweep === undefined ? [] : resultsFor(state, sweep, spec);
  return trials.length === 0 ? {} : { start: { sweepId: strategy.from, trials } };
}
