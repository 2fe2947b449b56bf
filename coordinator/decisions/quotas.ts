// What may be submitted under the limits of an owner: a document that could never run is refused with the number.
// What could run when others of the owner have ended waits instead (coordinator/scheduling/quota-wait.ts).

import { FleetError } from '../../core/errors.ts';
import type { PlanSpec } from '../../core/spec/plan.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';
import { ownerKey, quotaOf } from '../model/accounts.ts';
import type { Caller } from '../model/caller.ts';
import { lookup } from '../model/persistent-map.ts';
import type { State, SweepState } from '../model/state.ts';

/** Throws why a document never fits into what its owner may have. */
export function assertWithinQuota(
  state: State,
  spec: PlanSpec | SweepSpec | RunSpec,
  by: Caller | undefined,
): void {
  const owner = by?.name ?? '';
  const quota = quotaOf(state, owner);
  if (quota === undefined) return;
  const refuse = (what: string, asked: number, limit: number, of: string) =>
    new FleetError(
      'failedPrecondition',
      `${what}: ${asked} ${of} at once, and the quota of ${owner || 'this fleet'} is ${limit}; ask for ${limit} at most, or have the quota raised`,
    );
  const assertWorkers = (what: string, min: number) => {
    if (quota.workers !== undefined && min > quota.workers) throw refuse(what, min, quota.workers, 'workers');
  };
  const assertTrials = (what: string, parallelism: number) => {
    if (quota.openTrials !== undefined && parallelism > quota.openTrials)
      throw refuse(what, parallelism, quota.openTrials, 'open trials');
  };
  if (spec.kind === 'plan') {
    if (spec.search !== undefined) assertTrials('search.parallelism', spec.search.parallelism);
    if (spec.teacher !== undefined) assertWorkers('teacher.workers.min', spec.teacher.workers.min);
    for (const [at, student] of spec.students.entries())
      assertWorkers(`students[${at}].workers.min`, student.workers.min);
  } else if (spec.kind === 'sweep') assertTrials('parallelism', spec.parallelism);
  else assertWorkers('workers.min', spec.workers.min);
}

/** Trials that the owner of a sweep may open beside those that are open; Infinity: as many as the sweep wants. */
export function trialsLeft(state: State, { owner = '' }: SweepState): number {
  const limit = quotaOf(state, owner)?.openTrials;
  if (limit === undefined) return Number.POSITIVE_INFINITY;
  return limit - (lookup(state.accounts, ownerKey(owner))?.openTrials ?? 0);
}
