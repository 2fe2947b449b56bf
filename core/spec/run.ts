// One training job: its network, its data, its training, and for a student its teacher. The spec and its seed
// name the result completely.

import { z } from 'zod';
import { name } from './common.ts';
import { dataSchema } from './data.ts';
import { distillationProblems, distillationSchema } from './distillation.ts';
import { inheritsSchema } from './inherits.ts';
import { networkSchema } from './network.ts';
import { over } from './rules.ts';
import { runTerms } from './run-terms.ts';
import { searchBlockSchema } from './search.ts';
import { BLOCK_BYTES_MAX, blockBytesOf } from './share.ts';
import { trainingSchema, verificationSchema } from './training.ts';

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

const USER_KINDS = ['teacher', 'student', 'candidate'] as const;

const runOfKind = <K extends string>(kinds: readonly [K, ...K[]]) =>
  z
    .strictObject({
      kind: z
        .enum(kinds)
        .describe('a student is distilled from a teacher; a candidate is what a search trains'),
      name,
      network: networkSchema,
      data: dataSchema,
      training: trainingSchema,
      verification: verificationSchema.prefault({}),
      distillation: distillationSchema.optional(),
      ...runTerms,
      imported,
      search: searchBlockSchema
        .optional()
        .describe('Of a run of kind search; filled in from a submitted search, and not taken elsewhere'),
      inherits: inheritsSchema
        .optional()
        .describe(
          'Of a candidate that is verified with inherited weights and not trained; filled in by its sweep, and not taken elsewhere',
        ),
    })
    .superRefine(
      (run, context) => {
        if (run.kind === 'teacher' && run.distillation !== undefined)
          context.addIssue({
            code: 'custom',
            path: ['distillation'],
            message: 'a teacher does not distil; make it kind: student',
          });
      },
      over('kind', 'distillation'),
    )
    .superRefine(
      (run, context) => {
        if (run.distillation !== undefined)
          for (const { path, message } of distillationProblems(run.distillation, {
            ...{ epochs: run.training.epochs, exact: run.training.exact },
            teacherStages: undefined,
          }))
            context.addIssue({ code: 'custom', path: ['distillation', ...path], message });
      },
      over('distillation', 'training.epochs', 'training.exact'),
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
    )
    .superRefine(
      (run, context) => {
        if (run.distillation?.share !== 'stream') return;
        const { batch, shards } = run.training;
        const bytes = blockBytesOf({ batch, shards, embedding: run.network.embedding });
        if (bytes > BLOCK_BYTES_MAX)
          context.addIssue({
            code: 'custom',
            path: ['distillation', 'share'],
            message: `the embeddings of one shard are ${bytes} bytes, more than a message of the stream has (${BLOCK_BYTES_MAX}); use more shards or share: worker`,
          });
      },
      over('distillation.share', 'training.batch', 'training.shards', 'network.embedding'),
    );

/** A complete training job that a user submits. `distillation.teacher` is a run id here. */
export const runSchema = runOfKind(USER_KINDS);

/**
 * Any run. One of kind `embedding` is made by the coordinator: it has the network of a teacher and all else of a
 * student, and computes what the teacher gives for the student's batches. One of kind `search` is made from a
 * submitted search (search-run.ts).
 */
export const anyRunSchema = runOfKind([...USER_KINDS, 'embedding', 'search']).superRefine(
  ({ kind, search }, context) => {
    if ((kind === 'search') !== (search !== undefined))
      context.addIssue({
        code: 'custom',
        path: ['search'],
        message: 'a run of kind search has a search, and no other has',
      });
  },
  over('kind', 'search'),
);

/** A checked run. */
export type RunSpec = z.infer<typeof anyRunSchema>;
