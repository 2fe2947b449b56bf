// One training job: its network, its data, its training, and for a student its teacher. The spec and its seed
// name the result completely.

import { z } from 'zod';
import { runBudget } from './budget.ts';
import { name, requirement, reuse, weight, workers } from './common.ts';
import { dataSchema } from './data.ts';
import { distillationProblems, distillationSchema } from './distillation.ts';
import { networkSchema } from './network.ts';
import { over } from './rules.ts';
import { trainingSchema, verificationSchema } from './training.ts';

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

/** A checked policy of that kind. */
export type CheckpointPolicy = z.infer<typeof checkpointPolicy>;

// Without a default: the canonical text of a spec that does not name it stays what it was.
export const checkpoints = z
  .strictObject({ keep: checkpointPolicy })
  .optional()
  .describe('which checkpoints stay stored; without it those that others still need, and the last');

const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'a SHA-256 of 64 hex digits');

/** Where the stages of a teacher come from that is never trained. */
const imported = z
  .strictObject({
    from: z.string().min(1).max(4096).describe('the files, as the text that imported them has them'),
    digest: sha256.describe('SHA-256 of network and stages: equal files are one teacher'),
    stages: z
      .array(
        z.strictObject({
          file: z.string().min(1).max(255).describe('its name'),
          digest: sha256.describe('SHA-256 of its weights and running statistics, as they are stored'),
        }),
      )
      .min(1)
      .max(10_000)
      .describe('by stage'),
  })
  .optional()
  .describe(
    'Of a teacher whose stages come from files; filled in by their import. It is never trained: its data and training only count the stages, one a step',
  );

/** A complete training job. `distillation.teacher` is a run id here. */
export const runSchema = z
  .strictObject({
    kind: z
      .enum(['teacher', 'student', 'candidate'])
      .describe('a student is distilled from a teacher; a candidate is what a search trains'),
    name,
    network: networkSchema,
    data: dataSchema,
    training: trainingSchema,
    verification: verificationSchema.prefault({}),
    distillation: distillationSchema.optional(),
    workers: workers.prefault({}),
    checkpoints,
    priority: z.int().min(0).max(100).default(50).describe('higher runs first'),
    weight,
    reuse,
    require: requirement,
    budget: runBudget,
    imported,
  })
  .superRefine(
    (run, context) => {
      if (run.kind !== 'student' && run.distillation !== undefined)
        context.addIssue({
          code: 'custom',
          path: ['distillation'],
          message: `a ${run.kind} does not distil; make it kind: student`,
        });
    },
    over('kind', 'distillation'),
  )
  .superRefine(
    (run, context) => {
      if (run.distillation !== undefined)
        for (const { path, message } of distillationProblems(run.distillation, {
          epochs: run.training.epochs,
          teacherStages: undefined,
        }))
          context.addIssue({ code: 'custom', path: ['distillation', ...path], message });
    },
    over('distillation', 'training.epochs'),
  )
  .superRefine(
    (run, context) => {
      if (run.workers.max > run.training.shards)
        context.addIssue({
          code: 'custom',
          path: ['workers', 'max'],
          message: `${run.workers.max} workers cannot share ${run.training.shards} shards`,
        });
    },
    over('workers.max', 'training.shards'),
  );

/** A checked run. */
export type RunSpec = z.infer<typeof runSchema>;
