// What events do to the index of results and of open runs by what they compute (results.ts).

import { addCandidate, noCandidates, withCandidate } from './candidates.ts';
import type { Working } from './folding.ts';
import { type Identity, identityOf, identityText } from './identity.ts';
import { lookup, withEntry, withoutEntry } from './persistent-map.ts';
import { NO_CODE, NONE, resultOf, resultsKey, VOID } from './results.ts';
import { type EndedRun, isWhole, type Member, numberOf, type RunState, runOf } from './state.ts';
import { rowAt } from './table.ts';

/** The code of a run once this gang has it. */
export function codeWith(w: Working, run: RunState, members: readonly Member[]): string | undefined {
  let code = run.generation === 0 ? undefined : run.code;
  for (let i = 0; i < members.length; i++) {
    const own = lookup(w.workers, members[i]!.workerId)?.code ?? NO_CODE;
    code = code === undefined || code === own ? own : NO_CODE;
  }
  return code;
}

/** A run that began, or that goes on after its end. */
export function twinOpened(w: Working, run: RunState): void {
  const identity = identityOf(w, run);
  if (identity === undefined) return;
  const key = identityText(identity);
  const others = lookup(w.twins, key);
  const number = numberOf(run.id);
  const numbers = others === undefined ? [number] : [...others, number].sort((a, b) => a - b);
  w.twins = withEntry(w.twins, key, numbers, w.edit);
}

/** A run that has ended. */
export function twinClosed(w: Working, run: RunState): void {
  const identity = identityOf(w, run);
  if (identity === undefined) return;
  const key = identityText(identity);
  const known = lookup(w.twins, key) ?? [];
  const own = numberOf(run.id);
  const others = known.length === 1 && known[0] === own ? [] : known.filter((number) => number !== own);
  w.twins =
    others.length === 0 ? withoutEntry(w.twins, key, w.edit) : withEntry(w.twins, key, others, w.edit);
}

/** A run has a result: it stands for all of its key from now on. */
export function resultNoted(w: Working, run: RunState): void {
  const { code = NO_CODE } = run;
  const identity = code === NO_CODE ? undefined : identityOf(w, run);
  if (identity === undefined || resultOf(w, identity, code) === VOID) return;
  putResult(w, identity, code, numberOf(run.id));
}

/** Nothing stands for what this run computes any more. */
export function resultVoided(w: Working, runId: string): void {
  const run = runOf(w, runId);
  const { code = NO_CODE } = run;
  const identity = code === NO_CODE ? undefined : identityOf(w, run);
  if (identity !== undefined) putResult(w, identity, code, VOID);
}

/** A run leaves the tables: the run whose result it had taken stands for it, where that is still there. */
export function resultForgotten(w: Working, run: RunState | EndedRun): void {
  const { code = NO_CODE } = run;
  const identity = code === NO_CODE ? undefined : identityOf(w, run);
  if (identity === undefined || resultOf(w, identity, code) !== numberOf(run.id)) return;
  const from = isWhole(run) ? run.reused?.runId : run.reusedFrom;
  const isThere = from !== undefined && rowAt(w.runs, numberOf(from)) !== undefined;
  putResult(w, identity, code, isThere ? numberOf(from) : NONE);
}

/** Notes the run that stands for a key. */
function putResult(w: Working, identity: Identity, code: string, number: number): void {
  const key = resultsKey(identity, code);
  const known = lookup(w.results, key);
  if (w.ownsRows && known !== undefined) {
    addCandidate(known, identity.member, number);
    return;
  }
  const group = known ?? noCandidates();
  if (w.ownsRows) addCandidate(group, identity.member, number);
  const next = w.ownsRows ? group : withCandidate(group, identity.member, number, w.edit);
  w.results = withEntry(w.results, key, next, w.edit);
}
