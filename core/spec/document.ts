// What a user may submit: plans, sweeps and runs as strict schemas with every default and unit. Decides what
// is well-formed by itself, without a look at data and without building a network. The validated values
// travel as canonical JSON and name a run's result completely.

import { z } from 'zod';
import { planSchema } from './plan.ts';
import { runSchema } from './run.ts';
import { sweepSchema } from './sweep.ts';

/** A document that `submit` takes. */
export const documentSchema = z.discriminatedUnion('kind', [planSchema, sweepSchema, runSchema]);

/** A checked document. */
export type DocumentSpec = z.infer<typeof documentSchema>;
