// What a user may ask for: plans, sweeps and runs as strict schemas with every default and unit. Decides what is
// well-formed on its own; whether the data exists and fits is data/inspect.ts', whether an architecture is buildable
// and within constraints is nn's. The validated values travel as canonical JSON and name a run's result completely.

import { z } from 'zod';
import { SKIPPED_TEXT_MAX } from '../data/inspection/skipped.ts';
import { foundText } from '../text/printable.ts';

const seed = z.int().min(0).max(0xffff_ffff);
const name = z
  .string()
  .regex(
    /^[a-z0-9][a-z0-9._-]{0,62}$/,
    'lower-case letters, digits, . _ -, at most 63, starting with a letter or digit',
  );

/** The eight candidate operations in the column order of every alpha matrix (PocketNet search space); `none` cannot be chosen. */
export const OPS = [
  'max_pool_3x3',
  'avg_pool_3x3',
  'skip_connect',
  'dw_conv_3x3',
  'dw_conv_5x5',
  'dw_conv_7x7',
  'dw_conv_1x1',
  'none',
] as const;
export type Op = (typeof OPS)[number];

const edge = z.tuple([
  z.enum(OPS.filter((op) => op !== 'none') as [Op, ...Op[]], {
    error: (issue) =>
      `unknown op ${foundText(issue.input)}; one of ${OPS.filter((op) => op !== 'none').join(', ')}`,
  }),
  z.int().min(0),
]);
const cell = z
  .tuple([z.tuple([edge, edge]), z.tuple([edge, edge]), z.tuple([edge, edge]), z.tuple([edge, edge])])
  .superRefine((nodes, context) => {
    nodes.forEach((node, i) => {
      node.forEach(([, input], j) => {
        if (input > i + 1)
          context.addIssue({
            code: 'custom',
            path: [i, j, 1],
            message: `node ${i} takes input ${input}, but only inputs 0..${i + 1} exist before it (0 and 1 are the two previous cells, ${i + 2} is node ${i} itself)`,
          });
      });
      if (node[0][1] === node[1][1])
        context.addIssue({
          code: 'custom',
          path: [i],
          message: `node ${i} takes input ${node[0][1]} twice; its two edges come from different inputs`,
        });
    });
  });

/** Two edges for each of four nodes, for normal and reduction cells; edge = [op, input], inputs 0 and 1 are cells k-2 and k-1. */
export const genotypeSchema = z.strictObject({
  normal: cell,
  normal_concat: z.tuple([z.literal(2), z.literal(3), z.literal(4), z.literal(5)]).default([2, 3, 4, 5]),
  reduce: cell,
  reduce_concat: z.tuple([z.literal(2), z.literal(3), z.literal(4), z.literal(5)]).default([2, 3, 4, 5]),
});
export type Genotype = z.infer<typeof genotypeSchema>;

const evenChannels = z.int().min(2).max(512).multipleOf(2);
const embedding = z.int().min(2).max(1024);

/** Far beyond any network that was published; more is a slip, and building it would take the machine's memory. */
const blocks = z.int().min(1).max(1000);
const width = z.int().min(1).max(8192);

export const pocketnetSchema = z.strictObject({
  kind: z.literal('pocketnet'),
  /** Working channels C of the first cells; doubles at each reduction; a cell outputs 4C. */
  channels: evenChannels.default(16),
  /** Cells L; below 4 two of the three reductions would coincide. */
  layers: z.int().min(4).max(64).default(18),
  embedding: embedding.default(128),
  /** The cells, or a published genotype by name. */
  genotype: z.union([z.enum(['casia', 'cifar10']), genotypeSchema]).default('casia'),
});
export const iresnetSchema = z.strictObject({
  kind: z.literal('iresnet'),
  /** Residual blocks of the four stages; IResNet-18 2,2,2,2; -34 3,4,6,3; -50 3,4,14,3; -100 3,13,30,3. */
  blocks: z.tuple([blocks, blocks, blocks, blocks]),
  /** Channels of the four stages. */
  widths: z.tuple([width, width, width, width]).default([64, 128, 256, 512]),
  /** Channels of the first convolution; the original has 64. */
  stem: width.default(64),
  embedding: embedding.default(128),
});
export const mobilefacenetSchema = z.strictObject({
  kind: z.literal('mobilefacenet'),
  embedding: embedding.default(128),
});
export const networkSchema = z.discriminatedUnion('kind', [
  pocketnetSchema,
  iresnetSchema,
  mobilefacenetSchema,
]);
export type NetworkSpec = z.infer<typeof networkSchema>;
export type PocketnetSpec = z.infer<typeof pocketnetSchema>;
export type IresnetSpec = z.infer<typeof iresnetSchema>;

/** The longest path that Linux takes. */
const dataPath = z.string().min(1).max(4096);
const holdout = z.int().min(2).describe('identities kept out of training, for verification');
// Without a default in the schema: a run's spec is a part of its bytes, and one of before these fields must stay what it was.
const storedFields = {
  onCorrupt: z
    .enum(['fail', 'skip'])
    .optional()
    .describe(
      'what corrupt images do at submit: fail (the default) refuses and names them; skip looks at every image and leaves the corrupt ones out',
    ),
  skipped: z
    .strictObject({
      count: z.int().min(1),
      digest: z.string().regex(/^[0-9a-f]{64}$/, 'a SHA-256 of 64 hex digits'),
      list: z.base64().max(SKIPPED_TEXT_MAX),
    })
    .optional()
    .describe('with onCorrupt: skip, the images that are left out; filled in at submit'),
};
export const dataSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('synthetic'),
    identities: z.int().min(4).max(100_000),
    images: z.int().min(2).max(1000).describe('images of each identity'),
    holdout,
    seed: seed.default(1),
    /** 0: frontal and evenly lit; 1: full variation of pose, light, expression, occlusion and blur. */
    difficulty: z.number().min(0).max(1).default(1),
  }),
  z.strictObject({
    kind: z.literal('folder'),
    path: dataPath.describe('one folder an identity; PGM, PPM, PNG, JPEG or WebP images'),
    holdout,
    ...storedFields,
  }),
  z.strictObject({
    kind: z.literal('recordio'),
    path: dataPath.describe('folder with train.rec and train.idx'),
    holdout,
    labels: z
      .enum(['strict', 'renumber'])
      .optional()
      .describe(
        'strict (the default) takes labels 0..C-1 alone; renumber makes classes of the labels that occur, in rising order, and keeps the map with the model',
      ),
    ...storedFields,
  }),
]);
export type DataSpec = z.infer<typeof dataSchema>;

export const optimizerSchema = z.strictObject({
  learningRate: z.number().positive().max(10).default(0.1),
  momentum: z.number().min(0).lt(1).default(0.9),
  /** L2, added to the gradient of every parameter before momentum. */
  weightDecay: z.number().min(0).max(1).default(5e-4),
  /** Largest global L2 norm of the backbone's mean gradient; the head is not clipped. */
  clipNorm: z.number().positive().default(5),
  /** The rate is multiplied by `gamma` at the start of each of these 0-based epochs. */
  milestones: z.array(z.int().min(1)).default([]),
  gamma: z.number().positive().max(1).default(0.1),
});
/** When the shards of a run are summed. */
export const syncSchema = z.discriminatedUnion(
  'kind',
  [
    /** After each step: the gradients. All V shards together are one optimiser step of B images. */
    z.strictObject({ kind: z.literal('every-step') }),
    /**
     * DiLoCo (arXiv:2311.08105), for gangs whose members are far apart: each shard takes `every` steps of its own with B/V
     * images each, `optimizer` and its own batch statistics, then the shards' changes are averaged and applied by an outer SGD
     * with Nesterov momentum. A replica of the method is a shard, so that the result is the same for any number of workers.
     * Inner momentum begins at zero in each round; rounds end with their epoch, whose last one may be shorter.
     */
    z.strictObject({
      kind: z.literal('outer'),
      /** H: steps of a round; the bytes on the wire are that many times fewer. */
      every: z.int().min(1).max(100_000),
      learningRate: z.number().positive().max(10).default(0.7),
      momentum: z.number().min(0).lt(1).default(0.9),
    }),
  ],
  {
    error: (issue) =>
      issue.code === 'invalid_union'
        ? `unknown sync ${foundText((issue.input as { kind?: unknown } | undefined)?.kind)}; one of every-step, outer`
        : undefined,
  },
);
export const trainingSchema = z
  .strictObject({
    epochs: z.int().min(1).max(10_000),
    /** Global batch B; every optimiser step uses B images. */
    batch: z.int().min(1),
    /** V: fixed slices of the batch; a power of two; what a result depends on instead of the number of workers. */
    shards: z.int().min(1).max(256).default(8),
    seed: seed.default(1),
    flip: z.boolean().default(true).describe('mirror each image with probability 1/2'),
    loss: z
      .strictObject({
        kind: z.literal('arcface').default('arcface'),
        scale: z.number().positive().default(64),
        margin: z.number().min(0).max(1.5).default(0.5),
      })
      .prefault({}),
    /**
     * Where the classifier head is. graph: in every worker's step; right while its classes are few. sharded: its classes are cut into
     * V parts that belong to the shards; embeddings travel in place of the head's gradient, and a part is kept by two workers.
     */
    head: z
      .enum(['graph', 'sharded'], {
        error: (issue) => `unknown head ${foundText(issue.input)}; one of graph, sharded`,
      })
      .default('graph'),
    /**
     * Of a sharded head: the share of each part's classes that takes part in a step, the batch's own always among them; the others
     * are drawn anew in each step. Classes that do not take part stay as they are, without decay or momentum. Default: all.
     */
    negatives: z
      .number()
      .gt(0, 'negatives is a share of the classes, above 0 and at most 1')
      .max(1, 'negatives is a share of the classes, above 0 and at most 1')
      .optional(),
    optimizer: optimizerSchema.prefault({}),
    sync: syncSchema.prefault({ kind: 'every-step' }),
    /**
     * How gradients travel. none: as float32, exact. bf16: half the bytes; each shard's gradient and the sum are rounded to 8
     * bits of mantissa. int8: a quarter; in blocks of 256 with a common scale, and what rounding leaves of a shard is added to the
     * same shard in the next step (error feedback), until the next checkpoint begins anew. All three give equal weights on
     * all workers at all times. With none and bf16 the result is the same for any number of workers, however they come, go and
     * die. With int8 it is the same for any placement of the shards, also when they move between workers that stay or to new
     * ones; a worker that leaves or dies takes along what rounding had left of its shards since the last checkpoint. That
     * begins again at zero, which is logged, and the result then depends on when it was.
     */
    compression: z.enum(['none', 'bf16', 'int8']).default('none'),
    /** false: workers of any device class may join, and the bits promise is given up. */
    exact: z.boolean().default(true),
  })
  .superRefine((training, context) => {
    if (training.head === 'sharded' && training.sync.kind === 'outer')
      context.addIssue({
        code: 'custom',
        path: ['head'],
        message:
          'a sharded head exchanges embeddings in every step, which sync: outer is there to avoid; use head: graph',
      });
    if (training.negatives !== undefined && training.head !== 'sharded')
      context.addIssue({
        code: 'custom',
        path: ['negatives'],
        message: 'negatives are sampled by a sharded head; add head: sharded',
      });
    if ((training.shards & (training.shards - 1)) !== 0)
      context.addIssue({
        code: 'custom',
        path: ['shards'],
        message: `${training.shards} is not a power of two`,
      });
    if (training.batch % training.shards !== 0)
      context.addIssue({
        code: 'custom',
        path: ['batch'],
        message: `batch ${training.batch} is not divisible by ${training.shards} shards`,
      });
    else if (training.batch / training.shards < 2)
      context.addIssue({
        code: 'custom',
        path: ['batch'],
        message: `batch ${training.batch} over ${training.shards} shards leaves ${training.batch / training.shards} image a shard; batch normalisation needs at least 2`,
      });
  });
export type TrainingSpec = z.infer<typeof trainingSchema>;

export const verificationSchema = z.strictObject({
  /** Pairs drawn from the held-out identities, half of them genuine; at most what the images allow. */
  pairs: z.int().min(20).max(200_000).multipleOf(20).default(600),
  folds: z.literal(10).default(10),
  seed: seed.default(1),
});

/**
 * How many workers a run may have at once, without any change of its result. It starts with `min` or more; one that loses
 * members later goes on with those that are left, and grows again up to `max`.
 */
const workers = z
  .strictObject({ min: z.int().min(1).default(1), max: z.int().min(1).default(1) })
  .refine((w) => w.min <= w.max, { path: ['max'], message: 'max is below min' });

export const distillationSchema = z.strictObject({
  /** Name of the teacher run of the same document, or id of a run of the fleet. */
  teacher: z.string().min(1).max(200),
  /** multi-step: in epoch e learn from the teacher's checkpoint e+1; single-step: from its last one only. */
  schedule: z.enum(['multi-step', 'single-step']).default('multi-step'),
  /** Weight w of the mean squared difference of unit embeddings; the loss is arcface + w * mse. */
  weight: z.number().min(0).max(1e6).default(100),
});
export type DistillationSpec = z.infer<typeof distillationSchema>;

/** One training job, complete: with its seed it names its result. `distillation.teacher` is a run id here. */
export const runSchema = z
  .strictObject({
    kind: z.enum(['teacher', 'student', 'candidate']),
    name,
    network: networkSchema,
    data: dataSchema,
    training: trainingSchema,
    verification: verificationSchema.prefault({}),
    distillation: distillationSchema.optional(),
    workers: workers.prefault({}),
    priority: z.int().min(0).max(100).default(50).describe('higher runs first'),
  })
  .superRefine((run, context) => {
    if (run.kind !== 'student' && run.distillation !== undefined)
      context.addIssue({
        code: 'custom',
        path: ['distillation'],
        message: `a ${run.kind} does not distil; make it kind: student`,
      });
    if (run.workers.max > run.training.shards)
      context.addIssue({
        code: 'custom',
        path: ['workers', 'max'],
        message: `${run.workers.max} workers cannot share ${run.training.shards} shards`,
      });
  });
export type RunSpec = z.infer<typeof runSchema>;

export const constraintsSchema = z.strictObject({
  parametersMax: z.number().positive().optional(),
  /** In the PocketNet authors' convention: about twice the multiply-adds. */
  mflopsMax: z.number().positive().optional(),
});

export const sweepSchema = z.strictObject({
  kind: z.literal('sweep'),
  name,
  space: z.strictObject({
    kind: z.literal('pocketnet-cells').default('pocketnet-cells'),
    channels: evenChannels.default(16),
    layers: z.int().min(4).max(64).default(18),
    embedding: embedding.default(128),
    /** Ops a candidate may use. */
    ops: z
      .array(z.enum(OPS.filter((op) => op !== 'none') as [Op, ...Op[]]))
      .min(1)
      .default(OPS.filter((op) => op !== 'none')),
  }),
  strategy: z.strictObject({
    kind: z.literal('random').default('random'),
    trials: z.int().min(1).max(1_000_000),
    seed: seed.default(1),
  }),
  objective: z
    .literal('accuracy')
    .default('accuracy')
    .describe('10-fold verification accuracy after the short schedule'),
  constraints: constraintsSchema.prefault({}),
  /** Short schedule that every candidate gets. */
  evaluation: z.strictObject({ training: trainingSchema, verification: verificationSchema.prefault({}) }),
  data: dataSchema,
  /** Trials at once; 0: one for each worker. */
  parallelism: z.int().min(0).default(0),
  priority: z.int().min(0).max(100).default(50),
  /** Tries of one trial after failures that were its own. */
  attemptsMax: z.int().min(1).max(10).default(2),
  /** So many trials that fail one after the other for one cause, without a success in between, end the sweep with that cause. */
  failuresInRowMax: z.int().min(1).max(1_000_000).default(5),
});
export type SweepSpec = z.infer<typeof sweepSchema>;

const planRun = z.strictObject({
  name,
  training: trainingSchema,
  verification: verificationSchema.prefault({}),
  workers: workers.prefault({}),
  priority: z.int().min(0).max(100).default(50),
});
export const planSchema = z
  .strictObject({
    kind: z.literal('plan'),
    name,
    data: dataSchema,
    search: sweepSchema.omit({ kind: true, name: true, data: true }).optional(),
    teacher: planRun
      .extend({
        network: networkSchema,
        /** with-students: when the search has ended, so that students follow its first checkpoints live; at-once: beside the search. */
        start: z.enum(['with-students', 'at-once']).default('with-students'),
      })
      .optional(),
    students: z
      .array(
        planRun.extend({
          /** A network, or `best`: the search's winner. */
          network: z.union([z.literal('best'), networkSchema]),
          distillation: distillationSchema.omit({ teacher: true }).optional(),
        }),
      )
      .default([]),
    /** Which student is exported when all are done. */
    export: z
      .strictObject({
        choose: z.literal('most-accurate').default('most-accurate'),
        format: z.literal('safetensors').default('safetensors'),
      })
      .optional(),
  })
  .superRefine((plan, context) => {
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
      const size = student.network === 'best' ? plan.search?.space.embedding : student.network.embedding;
      if (student.distillation && plan.teacher && size !== plan.teacher.network.embedding)
        context.addIssue({
          code: 'custom',
          path: ['students', i, 'network'],
          message: `embedding ${size} differs from the teacher's ${plan.teacher.network.embedding}; distillation compares them directly`,
        });
    });
    if (!plan.search && !plan.teacher && plan.students.length === 0)
      context.addIssue({
        code: 'custom',
        path: [],
        message: 'nothing to do: no search, no teacher, no students',
      });
    if (plan.export && plan.students.length === 0)
      context.addIssue({ code: 'custom', path: ['export'], message: 'there is no student to export' });
  });
export type PlanSpec = z.infer<typeof planSchema>;

/** A document that `submit` takes. */
export const documentSchema = z.discriminatedUnion('kind', [planSchema, sweepSchema, runSchema]);
export type DocumentSpec = z.infer<typeof documentSchema>;

/** JSON with sorted keys: equal specs are equal texts. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (value !== null && typeof value === 'object') {
    const entries = Object.entries(value).filter(([, v]) => v !== undefined);
    entries.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    return `{${entries.map(([k, v]) => `${JSON.stringify(k)}:${canonicalJson(v)}`).join(',')}}`;
  }
  return JSON.stringify(value);
}
