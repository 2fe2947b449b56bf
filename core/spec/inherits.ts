// Whose weights a candidate inherits: a stage of a trained search network, as a sweep of strategy one-shot names it once
// its text was submitted, and as the runs of its candidates have it. Decides what of that network an evaluation depends
// on, so that the spec of a run names its result completely.

import { z } from 'zod';
import { seed } from './common.ts';
import { halvesSchema, supernetSchema } from './search.ts';

/** Batches of statistics at most. */
export const CALIBRATION_MAX = 1000;

/** A stage of a search network, and the batches from which a sub-network gets its statistics. */
export const inheritsSchema = z
  .strictObject({
    run: z.string().min(1).describe('the run of kind search'),
    stage: z.int().min(1).describe('its stage'),
    digest: z
      .string()
      .regex(/^[0-9a-f]{64}$/, 'a SHA-256 of 64 hex digits')
      .describe('SHA-256 of the stage as it is stored'),
    supernet: supernetSchema,
    halves: halvesSchema,
    batch: z.int().min(2).describe('images of a batch: those of a shard of the search'),
    cropFrom: z.int().min(113).max(1024).describe('as of the search'),
    flip: z.boolean().describe('as of the search'),
    seed: seed.describe('which images make a batch: that of the search'),
    calibration: z.int().min(1).max(CALIBRATION_MAX).describe('batches that statistics are the mean of'),
  })
  .describe('the search network whose weights a candidate inherits');

/** Whose weights a candidate inherits. */
export type Inherits = z.infer<typeof inheritsSchema>;
