// How a network is trained and verified: optimiser, when shards are summed, where the classifier head is, and
// how gradients travel. Decides which combinations are possible.

import { z } from 'zod';
import { foundText } from '../text/printable.ts';
import { seed } from './common.ts';
import { over, shardsArePowerOfTwo } from './rules.ts';

/** SGD with momentum and a rate that falls at milestones. */
export const optimizerSchema = z
  .strictObject({
    learningRate: z.number().positive().max(10).default(0.1).describe('rate of the first epochs'),
    momentum: z.number().min(0).lt(1).default(0.9).describe('share of the last update that is kept'),
    weightDecay: z
      .number()
      .min(0)
      .max(1)
      .default(5e-4)
      .describe('L2 penalty, added to the gradient of every parameter before momentum'),
    clipNorm: z
      .number()
      .positive()
      .default(5)
      .describe("Largest global L2 norm of the backbone's mean gradient; the head is not clipped"),
    milestones: z
      .array(z.int().min(1))
      .default([])
      .describe('the rate is multiplied by `gamma` at the start of each of these 0-based epochs'),
    gamma: z.number().positive().max(1).default(0.1).describe('factor of the rate at a milestone'),
    // Without a default: the canonical text of a spec that does not name it stays what it was.
    until: z
      .number()
      .min(0)
      .optional()
      .describe(
        'In place of milestones: the rate falls by a cosine over the epochs from `learningRate` towards this one',
      ),
  })
  .superRefine(
    ({ until, milestones, learningRate }, context) => {
      if (until === undefined) return;
      if (milestones.length > 0)
        context.addIssue({
          code: 'custom',
          path: ['until'],
          message: 'the rate falls either at milestones or by a cosine; leave one of them out',
        });
      if (until > learningRate)
        context.addIssue({
          code: 'custom',
          path: ['until'],
          message: `the rate falls: until is at most learningRate ${learningRate}`,
        });
    },
    over('until', 'milestones', 'learningRate'),
  );

/** When the shards of a run are summed. */
const syncSchema = z.discriminatedUnion(
  'kind',
  [
    /** After each step: the gradients. All V shards together are one optimiser step of B images. */
    z.strictObject({ kind: z.literal('every-step') }),
    /**
     * DiLoCo (arXiv:2311.08105), for gangs whose members are far apart: each shard takes `every` steps of its
     * own with B/V images each, `optimizer` and its own batch statistics, then the shards' changes are
     * averaged and applied by an outer SGD with Nesterov momentum. A replica of the method is a shard, so
     * that the result is the same for any number of workers. Inner momentum begins at zero in each round;
     * rounds end with their epoch, whose last one may be shorter.
     */
    z.strictObject({
      kind: z.literal('outer'),
      every: z
        .int()
        .min(1)
        .max(100_000)
        .describe('H: steps of a round; the bytes on the wire are that many times fewer'),
      learningRate: z.number().positive().max(10).default(0.7).describe('rate of the outer step'),
      momentum: z.number().min(0).lt(1).default(0.9).describe('share of the last update that is kept'),
    }),
  ],
  {
    error: (issue) =>
      issue.code === 'invalid_union'
        ? `unknown sync ${foundText((issue.input as { kind?: unknown } | undefined)?.kind)}; one of every-step, outer`
        : undefined,
  },
);

/** How one network is trained. */
export const trainingSchema = z
  .strictObject({
    epochs: z.int().min(1).max(10_000).describe('passes over the training images'),
    batch: z.int().min(1).describe('Global batch B; every optimiser step uses B images'),
    shards: z
      .int()
      .min(1)
      .max(256)
      .default(8)
      .describe(
        'V, a power of two: fixed slices of the batch. A result depends on it and not on the number of workers',
      ),
    seed: seed.default(1),
    order: seed
      .optional()
      .describe(
        'Names the permutations of the images and which of them are mirrored; default: the seed. Students with the same data, order, batch, shards and flip see the same batches and share the passes of their teacher; `seed` then only makes their first weights',
      ),
    fraction: z
      .number()
      .gt(0, 'a fraction of the images is above 0 and at most 1')
      .max(1, 'a fraction of the images is above 0 and at most 1')
      .optional()
      .describe(
        'Part of the training images that it is trained on, (0, 1]: the same ones for the same order, and those of a smaller part are among those of a larger one. All people stay classes. Default: all images',
      ),
    flip: z.boolean().default(true).describe('mirror each image with probability 1/2'),
    loss: z
      .strictObject({
        kind: z.literal('arcface').default('arcface'),
        scale: z.number().positive().default(64).describe('scale s of the logits'),
        margin: z.number().min(0).max(1.5).default(0.5).describe('additive angle m, radians'),
      })
      .prefault({})
      .describe('ArcFace'),
    head: z
      .enum(['graph', 'sharded'], {
        error: (issue) => `unknown head ${foundText(issue.input)}; one of graph, sharded`,
      })
      .default('graph')
      .describe(
        "Where the classifier head is. graph: in every worker's step, which is right while its classes are few. sharded: its classes are cut into V parts that belong to the shards; embeddings travel in place of the head's gradient, and two workers keep each part",
      ),
    negatives: z
      .number()
      .gt(0, 'negatives is a share of the classes, above 0 and at most 1')
      .max(1, 'negatives is a share of the classes, above 0 and at most 1')
      .optional()
      .describe(
        "For a sharded head: the share of each part's classes that takes part in a step, (0, 1]. The classes of the batch are always among them, the others are drawn anew in each step. Classes that do not take part keep their weights, without decay or momentum. Default: all take part",
      ),
    optimizer: optimizerSchema.prefault({}).describe('SGD with momentum and a rate that falls at milestones'),
    sync: syncSchema
      .prefault({ kind: 'every-step' })
      .describe('when the shards of a run are summed: after every step, or after outer steps (DiLoCo)'),
    compression: z
      .enum(['none', 'bf16', 'int8'])
      .default('none')
      .describe(
        "How gradients travel. none: as float32, exact. bf16: half the bytes; each shard's gradient and the sum are rounded to 8 bits of mantissa. int8: a quarter; in blocks of 256 with a common scale, and what rounding leaves of a shard is added to the same shard in the next step (error feedback), until the next checkpoint begins anew. All three give equal weights on all workers at all times. With none and bf16 the result is the same for any number of workers, however they come, go and die. With int8 it is the same for any placement of the shards, also when they move between workers that stay or to new ones; a worker that leaves or dies takes along what rounding had left of its shards since the last checkpoint. That begins again at zero, which is logged, and the result then depends on when it was",
      ),
    recompute: z
      .boolean()
      .optional()
      .describe(
        'true: the backward pass computes activations again instead of keeping them. The result is the same to the bit; a step takes about two fifths of the memory and a third more time. A run for which no device has memory gets it by itself',
      ),
    precision: z
      .enum(['float32', 'tf32', 'bf16'], {
        error: (issue) => `unknown precision ${foundText(issue.input)}; one of float32, tf32, bf16`,
      })
      .optional()
      .describe(
        'How products are computed, on workers with the engine pjrt; others compute in float32 alone, and a run that asks for another waits for such workers. tf32: with 10 bits of mantissa, where a GPU has that. bf16: maps and products in bfloat16; weights, sums, norms and losses stay float32. Default: float32',
      ),
    exact: z
      .boolean()
      .default(true)
      .describe('false: workers of any device class may join, and equal bits are not promised'),
  })
  .superRefine(
    (training, context) => {
      if (training.head === 'sharded' && training.sync.kind === 'outer')
        context.addIssue({
          code: 'custom',
          path: ['head'],
          message:
            'a sharded head exchanges embeddings in every step, which sync: outer is there to avoid; use head: graph',
        });
    },
    over('head', 'sync'),
  )
  .superRefine(
    (training, context) => {
      if (training.negatives !== undefined && training.head !== 'sharded')
        context.addIssue({
          code: 'custom',
          path: ['negatives'],
          message: 'negatives are sampled by a sharded head; add head: sharded',
        });
    },
    over('head', 'negatives'),
  )
  .superRefine(shardsArePowerOfTwo, over('shards'))
  .superRefine(
    (training, context) => {
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
    },
    over('batch', 'shards'),
  )
  .describe('how a network is trained');

/** A checked training. */
export type TrainingSpec = z.infer<typeof trainingSchema>;

/** The seed of permutations and flips. */
export const orderOf = ({ order, seed }: Pick<TrainingSpec, 'order' | 'seed'>): number => order ?? seed;

/** How a trained network is verified. */
export const verificationSchema = z
  .strictObject({
    pairs: z
      .int()
      .min(20)
      .max(200_000)
      .multipleOf(20)
      .default(600)
      .describe(
        'Pairs drawn from the held-out identities, half of them genuine; fewer where the images allow no more',
      ),
    folds: z.literal(10).default(10),
    seed: seed.default(1),
    // Without a default: the canonical text of a spec that does not name it stays what it was.
    latency: z
      .boolean()
      .optional()
      .describe(
        'whether the worker measures how long the network takes for one image; a sweep with the objective latency does',
      ),
  })
  .describe('how a trained network is verified: pairs of held-out people, in ten folds');
