// Which checkpoints of a run stay stored, as a document asks for it.

import { z } from 'zod';

/**
 * Which checkpoints of a run stay stored: all, the newest alone, every nth beside the last two; without it
 * what coordinator/decisions/retention.ts says.
 */
const checkpointPolicy = z
  .union([
    z.enum(['all', 'last']),
    z.strictObject({
      every: z.int().min(1).max(10_000).describe('every nth stays, beside the last two'),
    }),
  ])
  .describe('all, the newest alone (last), or every nth beside the last two');

/** Candidates of a search for several objectives that keep their checkpoint, at most, beside the best. */
export const FRONT_MAX = 64;

/** A checked policy of that kind. */
export type CheckpointPolicy = z.infer<typeof checkpointPolicy>;

// Without a default: the canonical text of a spec that does not name it stays what it was.
export const checkpoints = z
  .strictObject({ keep: checkpointPolicy })
  .optional()
  .describe('which checkpoints stay stored; without it those that others still need, and the last');
