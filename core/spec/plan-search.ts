// The search of a plan: a sweep of candidates, whose winner or front students may train, or a differentiable search,
// whose cells they may take. Decides what a plan writes under `search`, and which of the two it is.

import { z } from 'zod';
import { childName, type reuse as reuseSchema } from './common.ts';
import type { DataSpec } from './data.ts';
import type { NetworkSpec, PocketnetSpec } from './network.ts';
import type { RunSpec } from './run.ts';
import { searchFields, workersFit } from './search.ts';
import { runOfSearch } from './search-run.ts';
import { sweepSchema } from './sweep.ts';

const planSweepSchema = sweepSchema
  .omit({ kind: true, name: true, data: true, weight: true })
  .extend({ kind: z.literal('sweep').optional().describe('a sweep of candidates, as without a kind') });

/** What a plan has under `search`; name, data and weight are the plan's. */
export const planSearchSchema = z
  .discriminatedUnion('kind', [
    planSweepSchema,
    workersFit(searchFields.omit({ name: true, data: true, weight: true })),
  ])
  .describe(
    'a sweep, whose winner students may train as network: best; or kind: search, whose cells their networks may have as genotype: best',
  );

type PlanSweep = z.infer<typeof planSweepSchema>;
/** What a plan has that its search needs. */
interface Searching {
  readonly search?: z.infer<typeof planSearchSchema> | undefined;
}

/** The search of a plan as a sweep of candidates; undefined where it has none, or another. */
export const sweepIn = ({ search }: Searching): PlanSweep | undefined =>
  search?.kind === 'search' ? undefined : search;

/** The differentiable search of a plan as the run that it is; undefined where it has none, or a sweep. */
export function searchRunIn(
  plan: Searching & {
    readonly name: string;
    readonly data: DataSpec;
    readonly reuse?: z.infer<typeof reuseSchema>;
  },
): RunSpec | undefined {
  const { search, name, data, reuse } = plan;
  if (search?.kind !== 'search') return undefined;
  return runOfSearch({
    ...{ ...search, name: childName(name, 'search'), data },
    ...(search.reuse === undefined && reuse !== undefined ? { reuse } : {}),
  });
}

/**
 * Whether a network takes its cells from the differentiable search of its plan, and from which epoch; undefined where
 * it does not. Without an epoch: from its end.
 */
export function foundCells(
  { search }: Searching,
  network: NetworkSpec,
): { readonly network: PocketnetSpec; readonly epoch?: number } | undefined {
  if (search?.kind !== 'search' || network.kind !== 'pocketnet') return undefined;
  if (typeof network.genotype !== 'string') return undefined;
  const [word, epoch] = network.genotype.split('@');
  if (word !== 'best') return undefined;
  return { network, ...(epoch === undefined ? {} : { epoch: Number(epoch) }) };
}
