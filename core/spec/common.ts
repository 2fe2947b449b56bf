// What all documents share: seeds, names and how many workers a run may have.

import { z } from 'zod';

/** A seed: 32 bits. */
export const seed = z
  .int()
  .min(0)
  .max(0xffff_ffff)
  .describe('of everything that is drawn here; the same seed gives the same result');

/** A name that a person gives to a sweep, a run or a plan. */
export const name = z
  .string()
  .regex(
    /^[a-z0-9][a-z0-9._-]{0,62}$/,
    'lower-case letters, digits, . _ -, at most 63, starting with a letter or digit',
  )
  .describe('lower-case letters, digits, . _ -, at most 63');

/**
 * The share of workers against other work of the same owner and priority; 1 where it is absent. Without a default:
 * the canonical text of a spec that does not name it stays what it was.
 */
export const weight = z
  .number()
  .positive()
  .max(1e6)
  .optional()
  .describe('share of the workers among equal priorities; 1 when it is left out');

/**
 * How many workers a run may have at once; its result does not depend on the number. A run starts with `min`
 * or more. One that loses members later goes on with the others, and grows again up to `max`.
 */
export const workers = z
  .strictObject({
    min: z.int().min(1).default(1).describe('workers with which it starts'),
    max: z.int().min(1).default(1).describe('workers up to which it grows; at most the shards'),
  })
  .refine((w) => w.min <= w.max, { path: ['max'], message: 'max is below min' })
  .describe('how many workers a run may have at once; its result does not depend on the number');
