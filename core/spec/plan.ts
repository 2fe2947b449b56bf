// A plan: an optional search, an optional teacher, students, and what is exported at the end. Decides whether
// its parts fit together.

import { z } from 'zod';
import { runBudget } from './budget.ts';
import { childName, name, priority, requirement, reuse, weight, workers } from './common.ts';
import { dataSchema } from './data.ts';
import { distillationProblems, distillationSchema } from './distillation.ts';
import { type NetworkSpec, networkSchema } from './network.ts';
import { foundCells, planSearchSchema, sweepIn } from './plan-search.ts';
import { checkpoints } from './retention.ts';
import { over } from './rules.ts';
import type { RunSpec } from './run.ts';
import { trainingSchema, verificationSchema } from './training.ts';

const planRun = z.strictObject({
  name,
  training: trainingSchema,
  verification: verificationSchema.prefault({}),
  workers: workers.prefault({}),
  checkpoints,
  require: requirement,
  budget: runBudget,
  priority: priority.describe('higher first'),
});

/** Networks of the front of a search. */
const frontSchema = z.strictObject({
  pareto: z
    .int()
    .min(1)
    .max(16)
    .describe(
      'so many of the candidates that no other beats in every objective of the search (beside accuracy alone: parameters), chosen to cover the front; fewer where the front has fewer',
    ),
});

/** What the parts of a plan know of each other. */
const OF_PARTS = [
  ...[
    'search.kind',
    'search.space.embedding',
    'search.evaluation',
    'search.search.epochs',
    'teacher.name',
    'teacher.network',
    'export',
  ],
  ...['teacher.start'],
  ...['students.*.name', 'students.*.network', 'students.*.distillation'],
  ...['students.*.training.epochs', 'students.*.training.exact', 'teacher.training.epochs'],
];

/** A plan, whose parts refer to each other by name. */
export const planSchema = z
  .strictObject({
    kind: z.literal('plan'),
    name,
    data: dataSchema,
    weight,
    reuse,
    search: planSearchSchema.optional(),
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
            .union([z.literal('best'), frontSchema, networkSchema])
            .describe(
              "a network; `best` for the search's winner; or { pareto: k } for k networks of its front, a student each",
            ),
          distillation: distillationSchema
            .extend({
              teacher: distillationSchema.shape.teacher
                .optional()
                .describe('a teacher that is no part of the plan, as of a run; default: that of the plan'),
            })
            .optional()
            .describe(
              'how it learns from the teacher of the plan, or from another; without it, from labels alone',
            ),
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
      const sweep = sweepIn(plan);
      const names = new Set<string>();
      if (plan.teacher) names.add(plan.teacher.name);
      plan.students.forEach((student, i) => {
        for (const one of namesOfStudent(student)) {
          if (names.has(one))
            context.addIssue({
              code: 'custom',
              path: ['students', i, 'name'],
              message: `${one} is the name of another run of this plan`,
            });
          names.add(one);
        }
        const { network } = student;
        if (isSearched(network) && sweep === undefined)
          context.addIssue({
            code: 'custom',
            path: ['students', i, 'network'],
            message: `${network === 'best' ? 'best names the winner' : 'pareto names candidates'} of a search, and ${plan.search ? 'a search of kind search finds cells, not sizes: give network: { kind: pocketnet, genotype: best }' : 'this plan has no search'}`,
          });
        const epoch = isSearched(network) ? undefined : foundCells(plan, network)?.epoch;
        if (
          plan.search?.kind === 'search' &&
          plan.search.search.strategy === 'uniform' &&
          !isSearched(network) &&
          foundCells(plan, network) !== undefined
        )
          context.addIssue({
            code: 'custom',
            path: ['students', i, 'network', 'genotype'],
            message:
              'the search of this plan trains random paths (search.strategy: uniform) and finds no cells',
          });
        if (plan.search?.kind === 'search' && epoch !== undefined && epoch > plan.search.search.epochs)
          context.addIssue({
            code: 'custom',
            path: ['students', i, 'network', 'genotype'],
            message: `the search of this plan has ${plan.search.search.epochs} epochs, not ${epoch}`,
          });
        const isOwn = student.distillation !== undefined && otherTeacherOf(plan, student) === undefined;
        if (isOwn && !plan.teacher)
          context.addIssue({
            code: 'custom',
            path: ['students', i, 'distillation'],
            message: 'this plan has no teacher, and the student names none (distillation.teacher)',
          });
        if (student.distillation)
          for (const { path, message } of distillationProblems(student.distillation, {
            ...{ epochs: student.training.epochs, exact: student.training.exact },
            teacherStages: isOwn ? plan.teacher?.training.epochs : undefined,
          }))
            context.addIssue({ code: 'custom', path: ['students', i, 'distillation', ...path], message });
        const size = isSearched(network) ? sweep?.space.embedding : network.embedding;
        const isDirect = isOwn && student.distillation?.adapter === undefined;
        if (isDirect && plan.teacher && size !== plan.teacher.network.embedding)
          context.addIssue({
            code: 'custom',
            path: ['students', i, 'network'],
            message: `embedding ${size} differs from the teacher's ${plan.teacher.network.embedding}; distillation compares them directly, or through distillation.adapter: linear`,
          });
      });
      if (plan.teacher && foundCells(plan, plan.teacher.network) !== undefined)
        context.addIssue({
          code: 'custom',
          path: ['teacher', 'network', 'genotype'],
          message: 'the cells that the search of this plan finds are for its students',
        });
      const taught = sweep?.evaluation.distillation;
      if (taught !== undefined && plan.teacher !== undefined && taught.teacher === plan.teacher.name) {
        const path = ['search', 'evaluation', 'distillation'];
        if (plan.teacher.start !== 'at-once')
          context.addIssue({
            code: 'custom',
            path: ['teacher', 'start'],
            message: `the candidates of the search learn from ${plan.teacher.name}, which starts when the search has ended; give start: at-once`,
          });
        const { embedding } = sweep!.space;
        if (taught.adapter === undefined && embedding !== plan.teacher.network.embedding)
          context.addIssue({
            code: 'custom',
            path,
            message: `candidates have embeddings of ${embedding} and teacher ${plan.teacher.name} of ${plan.teacher.network.embedding}; distillation compares them directly`,
          });
        const { epochs, exact } = sweep!.evaluation.training;
        const teacherStages = plan.teacher.training.epochs;
        for (const problem of distillationProblems(taught, { epochs, exact, teacherStages }))
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

/**
 * The teacher that a student of a plan names and that is no part of the plan; undefined: it learns from the plan's, or
 * from none.
 */
export function otherTeacherOf(
  plan: { readonly teacher?: { readonly name: string } | undefined },
  student: { readonly distillation?: { readonly teacher?: string | undefined } | undefined },
): string | undefined {
  const named = student.distillation?.teacher;
  return named === plan.teacher?.name ? undefined : named;
}

/** The run of a student of a plan; `distillation`: how it learns, with its teacher's run. */
export function runOfStudent(
  { data, reuse }: PlanSpec,
  { distillation: _of, ...student }: PlanSpec['students'][number],
  { distillation, ...found }: Pick<RunSpec, 'network' | 'distillation'> & { readonly name?: string },
): RunSpec {
  return {
    ...{ kind: 'student', data, ...student, ...found },
    ...(reuse === undefined ? {} : { reuse }),
    ...(distillation === undefined ? {} : { distillation }),
  };
}

/** The network of a student of a plan, as the plan has it. */
export type StudentNetwork = PlanSpec['students'][number]['network'];

/** Whether it is known only when the search has ended. */
export function isSearched(network: StudentNetwork): network is Exclude<StudentNetwork, NetworkSpec> {
  return network === 'best' || 'pareto' in network;
}

/** Names of the runs that an entry of `students` stands for, at most: one, or one for each network of a front. */
export function namesOfStudent({
  name,
  network,
}: {
  readonly name: string;
  readonly network: StudentNetwork;
}): string[] {
  if (network === 'best' || !('pareto' in network)) return [name];
  return Array.from({ length: network.pareto }, (_, at) => childName(name, String(at + 1)));
}
