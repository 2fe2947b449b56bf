// A plan: an optional search, an optional teacher, students, and what is exported at the end. Decides whether
// its parts fit together.

import { z } from 'zod';
import { runBudget } from './budget.ts';
import { name, requirement, reuse, weight, workers } from './common.ts';
import { dataSchema } from './data.ts';
import { distillationProblems, distillationSchema } from './distillation.ts';
import { networkSchema } from './network.ts';
import { over } from './rules.ts';
import { checkpoints } from './run.ts';
import { sweepSchema } from './sweep.ts';
import { trainingSchema, verificationSchema } from './training.ts';

const planRun = z.strictObject({
  name,
  training: trainingSchema,
  verification: verificationSchema.prefault({}),
  workers: workers.prefault({}),
  checkpoints,
  require: requirement,
  budget: runBudget,
  priority: z.int().min(0).max(100).default(50).describe('higher first'),
});

/** What the parts of a plan know of each other. */
const OF_PARTS = [
  ...['search.space.embedding', 'search.evaluation', 'teacher.name', 'teacher.network', 'export'],
  ...['teacher.start'],
  ...['students.*.name', 'students.*.network', 'students.*.distillation'],
  ...['students.*.training.epochs', 'teacher.training.epochs'],
];

/** A plan, whose parts refer to each other by name. */
export const planSchema = z
  .strictObject({
    kind: z.literal('plan'),
    name,
    data: dataSchema,
    weight,
    reuse,
    search: sweepSchema
      .omit({ kind: true, name: true, data: true, weight: true })
      .optional()
      .describe('a search, whose winner students may train as network: best'),
    teacher: planRun
      .extend({
        network: networkSchema,
        start: z
          .enum(['with-students', 'at-once'])
          .default('with-students')
          .describe(
            'with-students: it starts when the search has ended, so that students follow its first checkpoints live; at-once: beside the search',
          ),
      })
      .optional()
      .describe('the run that students are distilled from'),
    students: z
      .array(
        planRun.extend({
          network: z
            .union([z.literal('best'), networkSchema])
            .describe("a network, or `best` for the search's winner"),
          distillation: distillationSchema
            .omit({ teacher: true })
            .optional()
            .describe('how it learns from the teacher of the plan; without it, from labels alone'),
        }),
      )
      .default([])
      .describe('runs of a fixed network, or of the winner'),
    export: z
      .strictObject({
        choose: z.literal('most-accurate').default('most-accurate'),
        format: z.literal('safetensors').default('safetensors'),
      })
      .optional()
      .describe('the student that is exported when all are done'),
  })
  .superRefine(
    (plan, context) => {
      const names = new Set<string>();
      if (plan.teacher) names.add(plan.teacher.name);
      plan.students.forEach((student, i) => {
        if (names.has(student.name))
          context.addIssue({
            code: 'custom',
            path: ['students', i, 'name'],
            message: `${student.name} is the name of another run of this plan`,
          });
        names.add(student.name);
        if (student.network === 'best' && !plan.search)
          context.addIssue({
            code: 'custom',
            path: ['students', i, 'network'],
            message: 'best names the winner of a search, and this plan has no search',
          });
        if (student.distillation && !plan.teacher)
          context.addIssue({
            code: 'custom',
            path: ['students', i, 'distillation'],
            message: 'this plan has no teacher',
          });
        if (student.distillation)
          for (const { path, message } of distillationProblems(student.distillation, {
            epochs: student.training.epochs,
            teacherStages: plan.teacher?.training.epochs,
          }))
            context.addIssue({ code: 'custom', path: ['students', i, 'distillation', ...path], message });
        const size = student.network === 'best' ? plan.search?.space.embedding : student.network.embedding;
        const isDirect = student.distillation !== undefined && student.distillation.adapter === undefined;
        if (isDirect && plan.teacher && size !== plan.teacher.network.embedding)
          context.addIssue({
            code: 'custom',
            path: ['students', i, 'network'],
            message: `embedding ${size} differs from the teacher's ${plan.teacher.network.embedding}; distillation compares them directly, or through distillation.adapter: linear`,
          });
      });
      const taught = plan.search?.evaluation.distillation;
      if (taught !== undefined && plan.teacher !== undefined && taught.teacher === plan.teacher.name) {
        const path = ['search', 'evaluation', 'distillation'];
        if (plan.teacher.start !== 'at-once')
          context.addIssue({
            code: 'custom',
            path: ['teacher', 'start'],
            message: `the candidates of the search learn from ${plan.teacher.name}, which starts when the search has ended; give start: at-once`,
          });
        const { embedding } = plan.search!.space;
        if (taught.adapter === undefined && embedding !== plan.teacher.network.embedding)
          context.addIssue({
            code: 'custom',
            path,
            message: `candidates have embeddings of ${embedding} and teacher ${plan.teacher.name} of ${plan.teacher.network.embedding}; distillation compares them directly`,
          });
        const { epochs } = plan.search!.evaluation.training;
        const teacherStages = plan.teacher.training.epochs;
        for (const problem of distillationProblems(taught, { epochs, teacherStages }))
          context.addIssue({ code: 'custom', path: [...path, ...problem.path], message: problem.message });
      }
      if (!plan.search && !plan.teacher && plan.students.length === 0)
        context.addIssue({
          code: 'custom',
          path: [],
          message: 'nothing to do: no search, no teacher, no students',
        });
      if (plan.export && plan.students.length === 0)
        context.addIssue({ code: 'custom', path: ['export'], message: 'there is no student to export' });
    },
    over(...OF_PARTS),
  );

/** A checked plan. */
export type PlanSpec = z.infer<typeof planSchema>;
