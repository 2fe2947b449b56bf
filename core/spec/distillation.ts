// How a student learns from a teacher: which of the teacher's stages each epoch learns from, and how strong the
// distillation term is in it. Decides both as pure arithmetic, which coordinator, worker and replay share.

import { z } from 'zod';
import { FleetError } from '../errors.ts';
import { embedding, networkSchema } from './network.ts';

/** Whether a value is none of what a union takes; a fault within one of its options is told of that place. */
const isOfNoOption = (issue: z.core.$ZodRawIssue): boolean =>
  issue.code === 'invalid_union' && issue.errors.flat().every(({ path }) => path.length === 0);

/** A value that is the same in all epochs, or changes from one to another and then stays. */
const overEpochs = (largest: number, noun: string) =>
  z.union(
    [
      z.number().min(0).max(largest),
      z.strictObject({
        from: z.number().min(0).max(largest).describe(`the ${noun} in epoch 0`),
        to: z.number().min(0).max(largest).describe(`the ${noun} from epoch \`epochs\` on`),
        epochs: z.int().min(1).max(10_000).describe('epochs in which it changes, evenly'),
      }),
    ],
    {
      error: (issue) =>
        isOfNoOption(issue) ? `expected a number from 0 to ${largest}, or { from, to, epochs }` : undefined,
    },
  );

/** The weight where neither `weight` nor `pull` is given (reference/pocketnet.md, 4.3). */
const WEIGHT_DEFAULT = 100;

const SCHEDULES = ['multi-step', 'single-step', 'proportional'] as const;

const scheduleSchema = z
  .union([z.enum(SCHEDULES), z.array(z.int().min(1).max(10_000)).min(1).max(10_000)], {
    error: (issue) =>
      isOfNoOption(issue)
        ? `one of ${SCHEDULES.join(', ')}, or a list of the teacher's stages, one an epoch`
        : undefined,
  })
  .default('multi-step')
  .describe(
    "Which of the teacher's stages (checkpoints, from 1) epoch e learns from, e from 0. multi-step: stage e+1, the last one when the student trains longer; single-step: the last one; proportional: stage ceil((e+1) S/E) of S stages in E epochs, for a student of another length; or a list, one stage an epoch",
  );

const fileName = z.string().min(1).max(4096);

/** A series of files, one a stage of a teacher that was trained elsewhere. */
export const teacherFilesSchema = z
  .strictObject({
    import: z
      .union([fileName, z.array(fileName).min(1).max(10_000)])
      .describe(
        'Files of PyTorch (.pth) or safetensors, from the folder of the text: a pattern with one * in place of the number, such as iresnet/*backbone.pth, or a list of files in the order of the stages',
      ),
    stages: z
      .literal('by-number')
      .default('by-number')
      .describe(
        'the files of a pattern in the order of their numbers, which are evenly spaced: the first is stage 1',
      ),
    network: networkSchema.optional().describe('the network, where the files do not show it'),
  })
  .describe('a teacher whose stages come from files; it is never trained');

/** A checked series. */
export type TeacherFiles = z.infer<typeof teacherFilesSchema>;

/** Where documents have a distillation: a run, a sweep, the search of a plan, its students. */
function placesIn(document: unknown): (readonly string[])[] {
  const students = isMapping(document) && Array.isArray(document.students) ? document.students : [];
  return [
    ['distillation'],
    ['evaluation', 'distillation'],
    ['search', 'evaluation', 'distillation'],
    ...students.map((_, i) => ['students', String(i), 'distillation']),
  ];
}

/**
 * Mappings of a document, as it was written, that name files as a teacher, and the way to each: distillations, and a
 * plan whose own teacher is files.
 */
export function* filesAsTeachers(document: unknown): Generator<{
  readonly distillation: { teacher: unknown };
  readonly path: readonly string[];
}> {
  for (const path of placesIn(document)) {
    let at: unknown = document;
    for (const key of path)
      at =
        typeof at === 'object' && at !== null && Object.hasOwn(at, key)
          ? (at as Readonly<Record<string, unknown>>)[key]
          : undefined;
    if (isMapping(at) && isMapping(at.teacher))
      yield { distillation: at as { teacher: unknown }, path: [...path, 'teacher'] };
  }
  if (isPlanOfFiles(document)) yield { distillation: document, path: ['teacher'] };
}

/** A plan, as it was written, whose own teacher is files. */
export function isPlanOfFiles(document: unknown): document is Record<string, unknown> & { teacher: unknown } {
  return (
    isMapping(document) &&
    document.kind === 'plan' &&
    isMapping(document.teacher) &&
    'import' in document.teacher
  );
}

/** In a plan whose own teacher was files, the run in their place is what its students name. */
export function nameTeacherRun(document: Record<string, unknown>, runId: string): void {
  delete document.teacher;
  const students: unknown[] = Array.isArray(document.students) ? document.students : [];
  for (const student of students)
    if (isMapping(student) && isMapping(student.distillation) && student.distillation.teacher === undefined)
      student.distillation.teacher = runId;
}

/** Why files are refused that no run stands for. */
export const FILES_NOT_READ =
  'files of a teacher are read where the text is submitted, by `pocketfleet submit`; other clients store them with ImportTeacher, and name its run here';

const isMapping = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const teacherSchema = z
  .union([z.string().min(1).max(200), teacherFilesSchema], {
    error: (issue) =>
      issue.code === 'invalid_union'
        ? 'expected the name or id of a teacher run, or { import: FILES, stages: by-number }'
        : undefined,
  })
  .transform((teacher, context): string => {
    if (typeof teacher === 'string') return teacher;
    // Whoever submits has the files, and has put a run in their place.
    context.addIssue({ code: 'custom', message: FILES_NOT_READ });
    return z.NEVER;
  })
  .describe(
    'Name of the teacher run of the same document, id of a run of the fleet, or files: { import: "DIR/*backbone.pth", stages: by-number }',
  );

/** Numbers of which blocks of embeddings consist. */
const BLOCK_FORMS = ['float32', 'float16'] as const;

export type BlockForm = (typeof BLOCK_FORMS)[number];

/** How a student learns from a teacher. */
export const distillationSchema = z
  .strictObject({
    teacher: teacherSchema,
    schedule: scheduleSchema,
    weight: overEpochs(1e6, 'weight')
      .optional()
      .describe(
        `Weight w of the mean squared difference of unit embeddings; the loss is arcface + w * mse. A number, or { from, to, epochs }: it changes evenly in the first epochs. Default: ${WEIGHT_DEFAULT}`,
      ),
    pull: overEpochs(1e6, 'pull')
      .optional()
      .describe(
        'In place of weight: the force on 1 - cosine, which is 2 w / E for embeddings of size E. The same pull means the same for any size; weight 100 is a pull of 1.5625 at E = 128 and of 6.25 at 32',
      ),
    share: z
      .enum(['own', 'worker', 'stream'])
      .optional()
      .describe(
        "With whom students of one order share their teacher's embeddings, which are the same bits in each case. own: with nobody; worker: with the students on the same worker; stream: with those of all workers, and a run of kind embedding computes them ahead. Default: worker, and stream once two students of the order are on different workers and the teacher's pass costs more than a student's step",
      ),
    embed: z
      .enum(['by-batch', 'by-image'])
      .optional()
      .describe(
        "How a worker computes its teacher's embeddings; the bits are the same. by-batch: each batch once; by-image: each image and its mirror image once a stage, kept for all epochs and orders that learn from the stage, and sent to the other workers that keep rows of it (not with share: own or worker). By-image is refused where a proof on the worker shows that a row depends on its batch or place, or where the rows of a stage have no room (imageRowsBytes of the coordinator). Default: by-image where it takes fewer passes and the proof holds",
      ),
    blocks: z
      .enum(BLOCK_FORMS)
      .optional()
      .describe(
        "How a block of the teacher's embeddings travels and lies in the stream. float16: half the bytes, so that twice as many fit; every embedding is rounded to 11 bits of mantissa before any student uses it, wherever it is computed. It needs training.exact: false. A block that float16 cannot hold so closely stays float32. Default: float32",
      ),
    adapter: z
      .enum(['linear'])
      .optional()
      .describe(
        "For a teacher with embeddings of another size: a matrix from the student's unit embeddings to the teacher's size, trained with the student and never exported. Without it the sizes must be equal",
      ),
    teacherEmbedding: embedding
      .optional()
      .describe("with an adapter, the size of the teacher's embeddings; filled in at submit"),
  })
  .describe('how a student learns from a teacher');

/** A checked distillation. */
export type DistillationSpec = z.infer<typeof distillationSchema>;

/** How blocks travel for a student of this distillation. */
export const blockFormOf = (distillation: Pick<DistillationSpec, 'blocks'> | undefined): BlockForm =>
  distillation?.blocks ?? 'float32';

/** Whether a student may have what the workers of others compute, and they what its workers do. */
export const sharesOverFleet = (distillation: Pick<DistillationSpec, 'share'> | undefined): boolean =>
  distillation !== undefined && distillation.share !== 'own' && distillation.share !== 'worker';

/** Size of the embeddings that an adapter maps the student's to; undefined without one. */
export function adapterWidth(
  distillation: Pick<DistillationSpec, 'adapter' | 'teacherEmbedding'> | undefined,
): number | undefined {
  if (distillation?.adapter === undefined) return undefined;
  if (distillation.teacherEmbedding !== undefined) return distillation.teacherEmbedding;
  throw new FleetError('internal', "the size of the teacher's embeddings was not filled in at submit");
}

/** The distillation of a student of a teacher with embeddings of this size, as its run has it. */
export function withTeacherSize<D extends Pick<DistillationSpec, 'adapter' | 'teacherEmbedding'>>(
  distillation: D,
  teacherEmbedding: number,
): D {
  const { teacherEmbedding: _given, ...rest } = distillation;
  return { ...rest, ...(distillation.adapter === undefined ? {} : { teacherEmbedding }) } as D;
}

/** Which of a teacher's stages a student learns from. */
export type TeacherSchedule = DistillationSpec['schedule'];

/** A student's epochs as the teacher's stages are chosen by. */
export interface TaughtEpochs {
  readonly schedule: TeacherSchedule;
  /** E: epochs of the student. */
  readonly epochs: number;
  /** S: stages that the teacher has when it is done. */
  readonly teacherStages: number;
}

/** Teacher stage, 1 to `teacherStages`, that a student learns from in `epoch`, 0-based. */
export function teacherStageFor(taught: TaughtEpochs & { readonly epoch: number }): number {
  const { schedule, epoch, epochs, teacherStages } = taught;
  if (schedule === 'single-step') return teacherStages;
  if (schedule === 'multi-step') return Math.min(epoch + 1, teacherStages);
  if (schedule === 'proportional') return Math.ceil(((epoch + 1) * teacherStages) / epochs);
  return schedule[Math.min(epoch, schedule.length - 1)]!;
}

/** The lowest stage that the epochs from `first` on learn from; `first` is below `epochs`. */
export function firstTeacherStage(taught: TaughtEpochs, first: number): number {
  // Only a list may go back to an earlier stage.
  if (typeof taught.schedule === 'string') return teacherStageFor({ ...taught, epoch: first });
  return Math.min(...taught.schedule.slice(first));
}

/** Stages that the epochs from `first` on learn from, ascending, each once. */
export function teacherStagesFrom(taught: TaughtEpochs, first: number): number[] {
  const stages = new Set<number>();
  for (let epoch = first; epoch < taught.epochs; epoch++) stages.add(teacherStageFor({ ...taught, epoch }));
  return [...stages].sort((a, b) => a - b);
}

/** Weight w of the distillation term in an epoch, for embeddings of size E. */
export function distillationWeightAt(
  { weight, pull }: Pick<DistillationSpec, 'weight' | 'pull'>,
  at: { readonly epoch: number; readonly embedding: number },
): number {
  // |a - b|^2 = 2 (1 - cos) for unit vectors, and its mean over E dimensions has w in front.
  if (pull !== undefined) return (valueAt(pull, at.epoch) * at.embedding) / 2;
  return valueAt(weight ?? WEIGHT_DEFAULT, at.epoch);
}

function valueAt(value: NonNullable<DistillationSpec['weight']>, epoch: number): number {
  if (typeof value === 'number') return value;
  const { from, to, epochs } = value;
  return from + (to - from) * Math.min(1, epoch / epochs);
}

/** Fields of a distillation that do not go together, with their reasons. `epochs` and `exact`: of the student. */
export function* distillationProblems(
  distillation: Omit<DistillationSpec, 'teacher'>,
  {
    epochs,
    exact,
    teacherStages,
  }: { readonly epochs: number; readonly exact: boolean; readonly teacherStages: number | undefined },
): Generator<{ readonly path: readonly (string | number)[]; readonly message: string }> {
  const { schedule, weight, pull, share } = distillation;
  if (weight !== undefined && pull !== undefined)
    yield { path: ['pull'], message: 'weight and pull both say how strong the term is; give one of them' };
  if (blockFormOf(distillation) === 'float16') {
    if (exact)
      yield {
        path: ['blocks'],
        message: 'float16 rounds what the student learns from; it needs training.exact: false',
      };
    if (!sharesOverFleet(distillation))
      yield {
        path: ['blocks'],
        message: `float16 is for blocks in the stream, and with share: ${share} none travels; leave one of them out`,
      };
  }
  if (typeof schedule === 'string') return;
  if (schedule.length !== epochs)
    yield {
      path: ['schedule'],
      message: `${schedule.length} stages for ${epochs} epochs; a list has one stage an epoch`,
    };
  if (teacherStages === undefined) return;
  const place = schedule.findIndex((stage) => stage > teacherStages);
  if (place !== -1)
    yield {
      path: ['schedule', place],
      message: `stage ${schedule[place]} of a teacher that has ${teacherStages} ${teacherStages === 1 ? 'stage' : 'stages'}, one an epoch`,
    };
}
