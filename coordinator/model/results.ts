// Which run stands for all that compute the same: finished ones by identity and by the code that computed them,
// and open ones by identity. Two finished runs of one key whose bits differ void it: nothing is taken from
// either of them.

import { trialOfGenotype } from './candidates.ts';
import { type Identity, identityText } from './identity.ts';
import { lookup } from './persistent-map.ts';
import { isWhole, type RunState, runWith, type State, wholeRunWith } from './state.ts';

/** In the place of the number of a run: two runs of this key had different bits. */
export const VOID = -1;
/** In the same place: the run was removed. */
export const NONE = 0;

/** The code of a run that workers of several codes have computed, or of none that is known. */
export const NO_CODE = '';

/** The key of the results of a group that this code has computed. */
export const resultsKey = ({ group }: Identity, code: string): string => `${group} ${code}`;

/** The number of the run that has the result, VOID, or undefined. */
export function resultOf({ results }: State, identity: Identity, code: string): number | undefined {
  const known = lookup(results, resultsKey(identity, code));
  const number = known === undefined ? undefined : trialOfGenotype(known, identity.member);
  return number === NONE ? undefined : number;
}

/** Open runs that compute the same, oldest first. */
export function openTwins(state: State, identity: Identity): RunState[] {
  const numbers = lookup(state.twins, identityText(identity)) ?? [];
  return numbers.flatMap((number) => wholeRunWith(state, `run-${number}`) ?? []);
}

/** The run that has computed the result of this one, and stored its checkpoints: the run itself, or the one it took them from. */
export function originOf(state: State, runId: string): string {
  const run = runWith(state, runId);
  if (run === undefined) return runId;
  return (isWhole(run) ? run.reused?.runId : run.reusedFrom) ?? runId;
}
