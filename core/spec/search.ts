// A differentiable search for cells (DARTS) as a document, and what a run of kind `search` carries of it.
// Decides what is well-formed, the defaults, and which combinations cannot work. Where a value is of the
// published search (reference facts 2.1), the default is that value, except for the order and the variant:
// first order is DARTS' own default and takes half of the passes, and `noleak` leaves out what the published
// code adds to the alphas' gradient by accident.

import { z } from 'zod';
import { foundText } from '../text/printable.ts';
import { canonicalJson } from './canonical-json.ts';
import { name, seed } from './common.ts';
import { dataSchema } from './data.ts';
import { evenChannels } from './network.ts';
import { over, shardsArePowerOfTwo } from './rules.ts';
import { runTerms } from './run-terms.ts';

/** Images of a shard below which a second-order gradient of float32 is off by a third. */
const SECOND_ORDER_IMAGES = 8;

/** Sizes of a search network. */
export const supernetSchema = z
  .strictObject({
    channels: evenChannels.default(16),
    layers: z
      .int()
      .min(4, 'below 4 layers two of the three reductions coincide')
      .max(64)
      .default(8)
      .describe('Number of cells L of the search network'),
  })
  .describe('the network with every operation on every edge; its classes come from the data');

/** How training images are divided. */
export const halvesSchema = z
  .strictObject({
    seed: seed.default(1).describe('which images of a person go together into a half'),
    stratify: z
      .enum(['even', 'strict'])
      .default('even')
      .describe('strict refuses a data set in which somebody has fewer than two images in a half'),
  })
  .describe('The training images in two halves, person by person: one trains weights, the other alphas');

/** One of a list of words; an error names the list. */
const oneOf = <W extends string>(what: string, words: readonly [W, ...W[]]) =>
  z.enum(words, {
    error: (issue) => `unknown ${what} ${foundText(issue.input)}; one of ${words.join(', ')}`,
  });

const alphasSchema = z
  .strictObject({
    learningRate: z.number().positive().max(1).default(1.2e-3).describe('rate of Adam'),
    betas: z
      .tuple([z.number().min(0).lt(1), z.number().min(0).lt(1)])
      .default([0.5, 0.999])
      .describe('shares of the old moments that are kept'),
    epsilon: z.number().positive().default(1e-8).describe('added to the root of the second moment'),
    weightDecay: z.number().min(0).max(1).default(1e-3).describe('L2 penalty, added to the gradient'),
  })
  .describe('how alphas are trained: Adam');

const bilevel = {
  strategy: oneOf('strategy', ['gradient', 'uniform'])
    .optional()
    .describe(
      'gradient (the default): alphas are trained beside the weights. uniform: each step trains the weights of one random path (single-path one-shot, arXiv 1904.00420), for a sweep whose candidates inherit them',
    ),
  order: oneOf('order', ['first', 'second'])
    .default('first')
    .describe('first: the alphas at the present weights; second: one virtual step of the weights further'),
  variant: oneOf('variant', ['noleak', 'reference', 'darts'])
    .default('noleak')
    .describe(
      "darts: alphas move before weights. noleak: weights first. reference: as noleak, and the training loss' gradient is added to the alphas', as in the published code",
    ),
  alphas: alphasSchema.prefault({}),
  warmUpEpochs: z.int().min(0).default(0).describe('first epochs in which only weights move'),
  cropFrom: z
    .int()
    .min(113)
    .max(1024)
    .default(128)
    .describe('shorter side to which images of the half of the weights are scaled before 112 are cut out'),
  decode: oneOf('decode', ['raw', 'softmax', 'perturb'])
    .default('raw')
    .describe(
      "how edges rank: by the alpha of their best op (raw), or by its share of the edge (softmax, DARTS' rule). perturb (DARTS-PT): at the end of the search by what the search network loses on the half of the alphas without an op, and without an edge; earlier epochs are decoded as raw",
    ),
  probeEvery: z
    .int()
    .min(1)
    .optional()
    .describe(
      'In each so-many-th step the finite difference of second order is made again with half of the radius, to measure how good it is. Default: never',
    ),
  evaluateEvery: z
    .int()
    .min(1)
    .optional()
    .describe(
      'The search network is evaluated over the half of the alphas at the end of each so-many-th epoch. Default: never',
    ),
  skips: z
    .strictObject({
      max: z.int().min(0).max(8).describe('most skip connections of the decoded normal cell'),
      at: oneOf('place', ['decode'])
        .default('decode')
        .describe('when they are limited: as cells are decoded'),
    })
    .optional()
    .describe(
      'Limits the skip connections of the normal cell: the weakest ones beyond give way to the next best operation of their edge. Default: any number',
    ),
  auxiliarySkip: z
    .strictObject({
      from: z.number().min(0).max(10).default(1).describe('its weight in the first epoch'),
      to: z.number().min(0).max(10).default(0).describe('its weight in the last epoch'),
    })
    .optional()
    .describe(
      'An unweighted skip beside each mixed edge, whose weight changes from epoch to epoch on a straight line (DARTS-): skips have no advantage then that the alphas would learn. Default: none',
    ),
  stop: z
    .strictObject({
      skipsMax: z
        .int()
        .min(0)
        .max(8)
        .describe('most skip connections that are wanted among the eight edges of the normal cell'),
      after: z
        .int()
        .min(0)
        .optional()
        .describe('epochs before which nothing stops. Default: half of the search'),
      for: z.int().min(1).default(3).describe('epochs in a row with more, without falling, that it takes'),
    })
    .optional()
    .describe(
      'Ends the search at the end of an epoch once its normal cell has collapsed to skip connections. Default: it goes on to its last epoch',
    ),
};

/** What only alphas that move have a use for, with what it is without them. */
const OF_ALPHAS = {
  order: ['first', 'takes one pass at a random path'],
  variant: ['noleak', 'moves the weights alone'],
  warmUpEpochs: [0, 'has no alphas that could begin later'],
  decode: ['raw', 'decodes no cells, because its alphas stay as they are'],
  skips: [undefined, 'decodes no cells whose skips could be limited'],
  stop: [undefined, 'decodes no cells that could collapse'],
  auxiliarySkip: [undefined, 'has no alphas that a skip could mislead'],
  evaluateEvery: [undefined, 'has no mixture that could be evaluated'],
  probeEvery: [undefined, 'makes no finite difference'],
} as const;

/** Refuses what a search with random paths has no use for. */
const fitsStrategy = (
  search: { readonly strategy?: unknown; readonly alphas: unknown } & {
    readonly [F in keyof typeof OF_ALPHAS]?: unknown;
  },
  context: z.core.$RefinementCtx,
): void => {
  if (search.strategy !== 'uniform') return;
  const refuse = (field: string, why: string) =>
    context.addIssue({ code: 'custom', path: [field], message: `strategy: uniform ${why}` });
  for (const [field, [without, why]] of Object.entries(OF_ALPHAS))
    if (search[field as keyof typeof OF_ALPHAS] !== without) refuse(field, why);
  if (canonicalJson(search.alphas) !== canonicalJson(alphasSchema.parse({})))
    refuse('alphas', 'trains no alphas');
};

/** What a run of kind `search` carries beside the network that its cells make and its training. */
export const searchBlockSchema = z
  .strictObject({ supernet: supernetSchema, halves: halvesSchema, ...bilevel })
  .describe('of a search: its supernet, its halves, and how alphas are trained');

/** What a run of kind `search` carries. */
export type SearchBlock = z.infer<typeof searchBlockSchema>;

const weightsSchema = z
  .strictObject({
    learningRate: z.number().positive().max(10).default(0.1).describe('rate of the first epoch'),
    until: z
      .number()
      .min(0)
      .default(0.004)
      .describe('rate towards which it falls, by a cosine over the epochs'),
    momentum: z.number().min(0).lt(1).default(0.9).describe('share of the last update that is kept'),
    weightDecay: z.number().min(0).max(1).default(3e-4).describe('L2 penalty on every weight'),
    clipNorm: z.number().positive().default(5).describe("largest global L2 norm of the weights' gradient"),
  })
  .refine((weights) => weights.until <= weights.learningRate, {
    path: ['until'],
    message: 'the rate falls: until is at most learningRate',
    ...over('until', 'learningRate'),
  })
  .describe('how weights are trained: SGD with momentum and a rate that falls by a cosine');

/** A field of other documents that is not taken, with the reason. */
export const notTaken = (reason: string) =>
  z
    .never({ error: () => reason })
    .optional()
    .describe(`not taken: ${reason}`);

/** How the search network is trained, before the fields that depend on each other are compared. */
const stepsFields = z.strictObject({
  ...bilevel,
  epochs: z.int().min(1).max(10_000).default(50).describe('passes over the half of the weights'),
  batch: z.int().min(1).default(128).describe('B: images of each half a step'),
  shards: z
    .int()
    .min(1)
    .max(256)
    .default(8)
    .describe('V, a power of two: the result depends on it and not on the number of workers'),
  seed: seed.default(1),
  flip: z.boolean().default(true).describe('mirror images of the half of the weights with probability 1/2'),
  weights: weightsSchema.prefault({}),
  exact: z.boolean().default(true).describe('false: workers of any device class may join'),
  head: z
    .never({ error: () => 'a search classifies in its own graph; its head cannot be sharded' })
    .optional()
    .describe('not taken: a search classifies in its own graph'),
  recompute: z.boolean().optional().describe('true: activations are computed again; less memory, same bits'),
  force: z
    .boolean()
    .default(false)
    .describe('takes second order with fewer than 8 images a shard, whose gradient is off by up to a third'),
});

/** Refuses combinations of them that cannot work. */
const stepsFit = <S extends z.ZodType<Omit<z.infer<typeof stepsFields>, 'seed'>>>(fields: S): S =>
  fields
    .superRefine(shardsArePowerOfTwo, over('shards'))
    .superRefine(
      ({ batch, shards, order, force }, context) => {
        const images = batch / shards;
        const message =
          batch % shards !== 0
            ? `batch ${batch} is not divisible by ${shards} shards`
            : images < 2
              ? `batch ${batch} over ${shards} shards leaves ${images} image a shard; batch normalisation needs at least 2`
              : order === 'second' && images < SECOND_ORDER_IMAGES && !force
                ? `batch ${batch} over ${shards} shards leaves ${images} images a shard; with fewer than ${SECOND_ORDER_IMAGES} a second-order gradient of float32 is off by up to a third. Use fewer shards, a larger batch or order: first, or take it with force: true`
                : undefined;
        if (message !== undefined) context.addIssue({ code: 'custom', path: ['batch'], message });
      },
      over('batch', 'shards', 'order', 'force'),
    )
    .superRefine(
      ({ warmUpEpochs, epochs }, context) => {
        if (warmUpEpochs >= epochs)
          context.addIssue({
            code: 'custom',
            path: ['warmUpEpochs'],
            message: `a warm-up of ${warmUpEpochs} epochs leaves none of ${epochs} in which alphas move`,
          });
      },
      over('warmUpEpochs', 'epochs'),
    )
    .superRefine(fitsStrategy, over('strategy', 'alphas', ...Object.keys(OF_ALPHAS)))
    .superRefine(
      ({ probeEvery, order }, context) => {
        if (probeEvery !== undefined && order === 'first')
          context.addIssue({
            code: 'custom',
            path: ['probeEvery'],
            message:
              'first order makes no finite difference that could be probed; leave it out or take order: second',
          });
      },
      over('probeEvery', 'order'),
    )
    .superRefine(
      ({ evaluateEvery, epochs }, context) => {
        if (evaluateEvery !== undefined && evaluateEvery > epochs)
          context.addIssue({
            code: 'custom',
            path: ['evaluateEvery'],
            message: `a search of ${epochs} epochs has no epoch ${evaluateEvery}, so nothing would be evaluated`,
          });
      },
      over('evaluateEvery', 'epochs'),
    )
    .superRefine(
      ({ decode, stop }, context) => {
        if (decode === 'perturb' && stop !== undefined)
          context.addIssue({
            code: 'custom',
            path: ['decode'],
            message:
              'perturb decodes what the last epoch leaves, and a search with `stop` may end before it; leave one of them out',
          });
      },
      over('decode', 'stop'),
    )
    .describe('how the search network is trained');

const stepsSchema = stepsFit(stepsFields);

/** The same of searches that differ by their seeds alone, and whose cells are wanted. */
export const stepsOfSeedsSchema = stepsFit(
  stepsFields.omit({ seed: true }).extend({
    seed: notTaken('each entry of strategy.seeds is the seed of one search'),
  }),
).superRefine(({ strategy }, context) => {
  if (strategy === 'uniform')
    context.addIssue({
      code: 'custom',
      path: ['strategy'],
      message:
        'strategy: uniform trains random paths and finds no cells that could be trained; take gradient, or a sweep of strategy one-shot',
    });
}, over('strategy'));

/** The fields of a differentiable search, before those that depend on each other are compared. */
export const searchFields = z.strictObject({
  kind: z.literal('search').describe('a differentiable search for the cells of a PocketNet (DARTS)'),
  name,
  supernet: supernetSchema.prefault({}),
  data: dataSchema,
  halves: halvesSchema.prefault({}),
  search: stepsSchema.prefault({}),
  training: notTaken('a search has `search` in place of `training`'),
  network: notTaken('a search has `supernet` in place of `network`'),
  distillation: notTaken('a search has no teacher; distil the network that it finds'),
  verification: notTaken('a supernet gives no embeddings to verify; train the network that it finds'),
  ...runTerms,
});

/** Refuses more workers than shards. */
export const workersFit = <
  S extends z.ZodType<{
    readonly workers: { readonly max: number };
    readonly search: { readonly shards: number };
  }>,
>(
  fields: S,
) =>
  fields.superRefine(
    ({ workers: asked, search }, context) => {
      if (asked.max > search.shards)
        context.addIssue({
          code: 'custom',
          path: ['workers', 'max'],
          message: `${asked.max} workers cannot share ${search.shards} shards`,
        });
    },
    over('workers.max', 'search.shards'),
  );

/** A differentiable search that a user submits. */
export const searchSchema = workersFit(searchFields);

/** A checked search. */
export type SearchSpec = z.infer<typeof searchSchema>;

/** What the state of a search at the end of a stage stands for. */
export const searchFoundSchema = z.strictObject({
  genotype: z.string().describe('the decoded genotype, a character an edge (core/nn/genotype-code.ts)'),
  trainingLoss: z.number().describe('mean over the steps of the stage, of the half of the weights'),
  validationLoss: z.number().optional().describe('of the half of the alphas; absent in the warm-up'),
  evaluation: z
    .strictObject({
      loss: z.number().describe('mean cross entropy, nats'),
      accuracy: z.number().describe('share of the images whose person has the largest logit, 0 to 1'),
    })
    .optional()
    .describe('of the search network over the half of the alphas, where `evaluateEvery` asks for it'),
  alphas: z
    .string()
    .optional()
    .describe('what it was decoded from, as core/nn/alphas-text.ts has it; absent in earlier checkpoints'),
});

/** What a stage of a search has found. */
export type SearchFound = z.infer<typeof searchFoundSchema>;
