// The strategy of a sweep that searches by gradient once for each of several seeds: every search is one trial, and the
// cells that it finds are what the trial trains. Decides what such a strategy says and what it does not take.

import { z } from 'zod';
import { seed, workers } from './common.ts';
import { checkpoints } from './retention.ts';
import { halvesSchema, notTaken, stepsOfSeedsSchema, supernetSchema, workersFit } from './search.ts';

const SEEDS_MAX = 64;

const seeds = z
  .array(seed)
  .min(2, 'a sweep has two seeds at least; one search is a document of kind: search')
  .max(SEEDS_MAX)
  .superRefine((all, context) => {
    for (const [at, one] of all.entries())
      if (all.indexOf(one) < at)
        context.addIssue({
          code: 'custom',
          path: [at],
          message: `seed ${one} stands there twice; the same seed finds the same cells`,
        });
  })
  .describe('seeds of the searches, different ones; each is one search and one trial');

/** Searches by gradient from several seeds, whose cells are trained alike. */
export const dartsSchema = workersFit(
  z.strictObject({
    kind: z.literal('darts'),
    seeds,
    supernet: supernetSchema.prefault({}),
    halves: halvesSchema.prefault({}),
    search: stepsOfSeedsSchema.prefault({}),
    workers: workers.prefault({}).describe('how many workers each search may have at once'),
    checkpoints,
    trials: notTaken('each entry of strategy.seeds is one trial'),
    seed: notTaken('strategy.seeds has the seeds of the searches'),
  }),
).describe('a search by gradient (DARTS) for each of several seeds, and the cells of each as one trial');

/** A checked strategy of several searches. */
export type DartsSpec = z.infer<typeof dartsSchema>;
