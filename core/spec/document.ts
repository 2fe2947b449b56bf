// What a user may submit: plans, sweeps, searches and runs as strict schemas with every default and unit. Decides what
// is well-formed by itself, without a look at data and without building a network. The validated values
// travel as canonical JSON and name a run's result completely.

import { z } from 'zod';
import { planSchema } from './plan.ts';
import { type RunSpec, runSchema } from './run.ts';
import { searchSchema } from './search.ts';
import { runOfSearch } from './search-run.ts';
import { sweepSchema } from './sweep.ts';

/** A document that `submit` takes. */
export const documentSchema = z.discriminatedUnion('kind', [
  planSchema,
  sweepSchema,
  searchSchema,
  runSchema,
]);

/** A checked document, a search as its run. */
export type DocumentSpec = z.infer<typeof planSchema> | z.infer<typeof sweepSchema> | RunSpec;

/** What the fleet takes of a checked document. */
export const documentOf = (submitted: z.infer<typeof documentSchema>): DocumentSpec =>
  submitted.kind === 'search' ? runOfSearch(submitted) : submitted;
