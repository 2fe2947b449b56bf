// A search: which candidates exist, how they are drawn, what each may cost, and how each is evaluated.

import { z } from 'zod';
import { sweepBudget } from './budget.ts';
import { name, priority, requirement, reuse, weight } from './common.ts';
import { dataSchema } from './data.ts';
import { distillationProblems, distillationSchema } from './distillation.ts';
import { embedding, evenChannels, OPS, type Op } from './network.ts';
import { over } from './rules.ts';
import { screeningSchema } from './screening.ts';
import { strategySchema } from './strategy.ts';
import { trainingSchema, verificationSchema } from './training.ts';

const constraintsSchema = z.strictObject({
  parametersMax: z.number().positive().optional().describe('parameters of the network, at most'),
  mflopsMax: z
    .number()
    .positive()
    .optional()
    .describe('FLOPs in the convention of the PocketNet authors: about twice the multiply-adds'),
});

const objectiveSchema = z
  .strictObject({
    name: z
      .enum(['accuracy', 'parameters', 'mflops', 'latency'])
      .describe(
        'accuracy is measured after the short schedule; latency, milliseconds for one image, on the worker that verifies it; parameters and mflops follow from the network',
      ),
    direction: z.enum(['maximise', 'minimise']).optional().describe('accuracy is maximised by default'),
  })
  .refine(({ name: of, direction }) => direction !== undefined || of === 'accuracy', {
    path: ['direction'],
    message: 'is missing; an objective other than accuracy says maximise or minimise',
  });

const objectivesSchema = z
  .array(objectiveSchema)
  .min(1)
  .max(3)
  .refine((objectives) => new Set(objectives.map(({ name: of }) => of)).size === objectives.length, {
    message: 'an objective stands there twice',
  });

/** A sweep: space, strategy, constraints, and the training that every candidate gets. */
export const sweepSchema = z.strictObject({
  kind: z.literal('sweep'),
  name,
  space: z
    .strictObject({
      kind: z.literal('pocketnet-cells').default('pocketnet-cells'),
      channels: evenChannels.default(16),
      layers: z.int().min(4).max(64).default(18).describe('number of cells'),
      embedding: embedding.default(128),
      ops: z
        .array(z.enum(OPS.filter((op) => op !== 'none') as [Op, ...Op[]]))
        .min(1)
        .default(OPS.filter((op) => op !== 'none'))
        .describe('the operations that a candidate may use'),
    })
    .describe('the candidates that there are'),
  strategy: strategySchema,
  objective: z
    .literal('accuracy')
    .default('accuracy')
    .describe('10-fold verification accuracy after the short schedule'),
  objectives: objectivesSchema
    .optional()
    .describe('what the search looks for, the most important first; in the place of `objective`'),
  screening: screeningSchema.optional(),
  constraints: constraintsSchema.prefault({}).describe('what a candidate may cost; others are not trained'),
  evaluation: z
    .strictObject({
      training: trainingSchema,
      verification: verificationSchema.prefault({}),
      distillation: distillationSchema
        .optional()
        .describe(
          'a teacher that every candidate learns from, so that they are ranked as the students that they are to become',
        ),
    })
    .superRefine(
      ({ distillation, training }, context) => {
        if (distillation === undefined) return;
        const { epochs, exact } = training;
        const taught = { epochs, exact, teacherStages: undefined };
        for (const { path, message } of distillationProblems(distillation, taught))
          context.addIssue({ code: 'custom', path: ['distillation', ...path], message });
      },
      over('distillation', 'training.epochs', 'training.exact'),
    )
    .describe('short schedule that every candidate gets'),
  data: dataSchema,
  parallelism: z.int().min(0).default(0).describe('trials at once; 0: one for each worker'),
  priority: priority.describe('higher first'),
  weight,
  reuse,
  require: requirement,
  budget: sweepBudget,
  attemptsMax: z
    .int()
    .min(1)
    .max(10)
    .default(2)
    .describe(
      "runs of one trial, each begun when infrastructure has failed the one before too often; what is the trial's own ends it at once",
    ),
  failuresInRowMax: z
    .int()
    .min(1)
    .max(1_000_000)
    .default(5)
    .describe(
      'trials that fail in a row for one cause, without a success between, before the sweep ends with that cause',
    ),
});

/** A checked sweep. */
export type SweepSpec = z.infer<typeof sweepSchema>;
