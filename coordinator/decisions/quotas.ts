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

/** A field of a document that asks for more than its owner may have. */
export interface QuotaFault {
  /** Dotted, `students.0.workers.min`. */
  readonly field: string;
  readonly reason: string;
}

/** Why a document never fits into what its owner may have, field by field; none when it does. */
export function quotaFaults(
  state: State,
  spec: PlanSpec | SweepSpec | RunSpec,
  by: Caller | undefined,
): QuotaFault[] {
  const owner = by?.name ?? '';
  const quota = quotaOf(state, owner);
  if (quota === undefined) return [];
  return demandsOf(spec).flatMap(({ field, of, asked }) => {
    const limit = quota[of];
    if (limit === undefined || asked <= limit) return [];
    const what = of === 'workers' ? 'workers' : 'open trials';
    const reason = `${asked} ${what} at once, and the quota of ${owner || 'this fleet'} is ${limit}; ask for ${limit} at most, or have the quota raised`;
    return [{ field, reason }];
  });
}

/** Throws the first reason why a document never fits into what its owner may have; `details.field` is where. */
export function assertWithinQuota(
  state: State,
  spec: PlanSpec | SweepSpec | RunSpec,
  by: Caller | undefined,
): void {
  const [first] = quotaFaults(state, spec, by);
  if (first === undefined) return;
  const { field, reason } = first;
  throw new FleetError('failedPrecondition', `${field}: ${reason}`, { details: { field } });
}

/** What a document needs at once. */
interface Demand {
  readonly field: string;
  readonly of: 'workers' | 'openTrials';
  readonly asked: number;
}

function demandsOf(spec: PlanSpec | SweepSpec | RunSpec): Demand[] {
  const ofWorkers = (path: string, { workers }: Pick<RunSpec, 'workers'>): Demand => ({
    ...{ field: `${path}workers.min`, of: 'workers', asked: workers.min },
  });
  const ofTrials = (path: string, { parallelism }: Pick<SweepSpec, 'parallelism'>): Demand => ({
    ...{ field: `${path}parallelism`, of: 'openTrials', asked: parallelism },
  });
  const ofSearches = (path: string, { strategy }: Pick<SweepSpec, 'strategy'>): Demand[] =>
    strategy.kind === 'darts' ? [ofWorkers(`${path}strategy.`, strategy)] : [];
  if (spec.kind === 'sweep') return [ofTrials('', spec), ...ofSearches('', spec)];
  if (spec.kind !== 'plan') return [ofWorkers('', spec)];
  return [
    ...(spec.search === undefined
      ? []
      : [
          ...(spec.search.kind === 'search'
            ? [ofWorkers('search.', spec.search)]
            : [ofTrials('search.', spec.search), ...ofSearches('search.', spec.search)]),
        ]),
    ...(spec.teacher === undefined ? [] : [ofWorkers('teacher.', spec.teacher)]),
    ...spec.students.map((student, at) => ofWorkers(`students.${at}.`, student)),
  ];
}

/** Trials that the owner of a sweep may open beside those that are open; Infinity: as many as the sweep wants. */
export function trialsLeft(state: State, { owner = '' }: SweepState): number {
  const limit = quotaOf(state, owner)?.openTrials;
  if (limit === undefined) return Number.POSITIVE_INFINITY;
  return limit - (lookup(state.accounts, ownerKey(owner))?.openTrials ?? 0);
}

/** Why a sweep opens no further trial: those that its owner has open; undefined while it may. */
export function trialsWait(state: State, sweep: SweepState): string | undefined {
  if (trialsLeft(state, sweep) > 0) return undefined;
  const { owner = '' } = sweep;
  const open = lookup(state.accounts, ownerKey(owner))?.openTrials ?? 0;
  return `waits for the quota of ${owner || 'this fleet'}, which is ${quotaOf(state, owner)?.openTrials} open trials: ${open} are open, ${sweep.openTrials.size} of them its own`;
}
