// What all documents share: seeds, names and how many workers a run may have.

import { z } from 'zod';
import { DEVICE_KINDS, workerLabels } from '../worker-kinds.ts';
import { over } from './rules.ts';

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

/** Which of what waits goes first. */
export const priority = z.int().min(0).max(100).default(50);

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
  .refine((w) => w.min <= w.max, { path: ['max'], message: 'max is below min', ...over('min', 'max') })
  .describe('how many workers a run may have at once; its result does not depend on the number');

/**
 * Which results of other runs that compute the same may be taken. Without a default, as the weight.
 */
export const reuse = z
  .enum(['none', 'any', 'exact'])
  .optional()
  .describe(
    'Results of others that compute the same (network, data, protocol, seed, code): none are taken; any, whatever device computed it; exact, of a device class that is there now, with its checkpoints. Default: any for candidates of a sweep, exact for other runs',
  );

/**
 * What a worker has to be to get a run of it; without it any worker will do. Without a default, as the weight.
 */
export const requirement = z
  .strictObject({
    memoryMin: z
      .number()
      .positive()
      .optional()
      .describe('Least memory of the device, GB of 10^9 bytes: of the GPU, or of the host for a CPU'),
    labels: workerLabels.optional().describe('Labels that the worker must have, each with this value'),
    deviceKind: z.enum(DEVICE_KINDS).optional().describe('What the worker computes on'),
    device: z
      .enum(['shared', 'exclusive'])
      .optional()
      .describe('exclusive: no other run is on its devices, whichever workers share them. Default: shared'),
  })
  .optional()
  .describe('What a worker has to be to get a run of it. Default: any worker will do');

/** A checked requirement. */
export type Requirement = NonNullable<z.infer<typeof requirement>>;

/**
 * The name of a child. Names have 63 characters at most: the parent's part is cut, not the part that tells
 * children apart.
 */
export function childName(parent: string, child: string): string {
  return `${parent.slice(0, 62 - child.length)}-${child}`;
}
