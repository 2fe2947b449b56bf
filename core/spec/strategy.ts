// Which strategy a search has, and its knobs.

import { z } from 'zod';
import { seed } from './common.ts';
import { dartsSchema } from './darts.ts';
import { CALIBRATION_MAX, inheritsSchema } from './inherits.ts';
import { genotypeReference, genotypeSchema } from './network.ts';
import { over } from './rules.ts';

// What is optional here has no default in the schema, so that the text of a spec from before such a field stays
// what it was.
const common = {
  trials: z.int().min(1).max(1_000_000).describe('candidates that are tried'),
  seed: seed.default(1),
};

const learning = {
  ...common,
  lag: z
    .int()
    .min(1)
    .max(100_000)
    .optional()
    .describe(
      'move k sees the results of moves up to k - lag; twice the trials at once at submit when it is left out',
    ),
  order: z
    .enum(['by-move', 'as-finished'])
    .optional()
    .describe(
      'by-move (the default): the same search whoever evaluates it; as-finished: a result counts as soon as it is there',
    ),
};

/** Of strategies that breed from results, which the results of another sweep may be. */
const breeding = {
  ...learning,
  from: z
    .string()
    .min(1)
    .max(200)
    .optional()
    .describe(
      'a sweep of the same space and objectives, by id or name, whose results are known before the first move',
    ),
};

const probability = z.number().min(0).max(1);

const population = z
  .int()
  .min(2)
  .max(1000)
  .describe('results that parents are chosen among; as many candidates are drawn at random first');
const mutations = z.int().min(1).max(100).default(1).describe('genes that a child has changed');

const enoughTrials = {
  ...over('population', 'trials'),
  path: ['population'],
  message: 'the population is above the trials of the sweep, so that no child would be bred',
};

const randomSchema = z.strictObject({ kind: z.literal('random').default('random'), ...common });

const gridSchema = z
  .strictObject({
    kind: z.literal('grid'),
    ...common,
    axes: z
      .record(z.string().min(1), z.array(z.string()).min(1))
      .optional()
      .describe('values by gene, such as normal.3.lower: [dw_conv_3x3, skip_connect]; all genes by default'),
    base: z
      .union([z.enum(['casia', 'cifar10']), genotypeSchema, genotypeReference])
      .optional()
      .describe(
        'the genes that have no axis, as the genotype of a network; the first value of each by default',
      ),
  })
  .refine((spec) => spec.base === undefined || spec.axes !== undefined, {
    path: ['base'],
    message: 'a base is for the genes without an axis, and there are no axes',
    ...over('base', 'axes'),
  });

const evolutionSchema = z
  .strictObject({
    kind: z.literal('evolution'),
    ...breeding,
    population: population.default(20),
    sample: z.int().min(1).max(1000).default(10).describe('results of which the best becomes a parent'),
    mutations,
    crossover: probability.default(0).describe('probability that a child has two parents'),
  })
  .refine((spec) => spec.population <= spec.trials, enoughTrials)
  .refine((spec) => spec.sample <= spec.population, {
    path: ['sample'],
    message: 'the sample is above the population it is taken from',
    ...over('sample', 'population'),
  });

const tpeSchema = z
  .strictObject({
    kind: z.literal('tpe'),
    ...breeding,
    startup: z.int().min(1).max(10_000).default(20).describe('candidates that are drawn at random first'),
    gamma: z.number().gt(0).lt(1).default(0.1).describe('share of the results that counts as good'),
    bestMax: z.int().min(1).max(1000).default(25).describe('results that count as good at most'),
    priorWeight: z.number().positive().max(1000).default(1).describe('weight of the uniform density'),
    candidates: z
      .int()
      .min(1)
      .max(1000)
      .default(2)
      .describe('values that are drawn for a gene, of which the best is proposed'),
  })
  .refine((spec) => spec.startup <= spec.trials, {
    path: ['startup'],
    message: 'more candidates are drawn at random than the sweep has trials',
    ...over('startup', 'trials'),
  });

const nsga2Schema = z
  .strictObject({
    kind: z.literal('nsga2'),
    ...breeding,
    // Each result ranks the whole population anew.
    population: population.max(200).default(20),
    mutations,
    crossover: probability.default(0.2).describe('probability that a child has two parents'),
  })
  .refine((spec) => spec.population <= spec.trials, enoughTrials);

const halving = {
  ...learning,
  eta: z
    .number()
    .min(2)
    .max(100)
    .default(3)
    .describe('the best 1/eta of a rung go on to eta times its epochs, images or width'),
  epochsMin: z.int().min(1).max(10_000).default(1).describe('epochs of the lowest rung'),
  fidelity: z
    .enum(['epochs', 'images', 'width'])
    .optional()
    .describe(
      'what grows from rung to rung: epochs (the default) of one run, which goes on; a part of the images, or of the channels, each of which is a run of its own',
    ),
  fractionMin: z
    .number()
    .gt(0)
    .lt(1)
    .optional()
    .describe('part of the images or of the channels at the lowest rung; default: 1/eta^2'),
};

const ofFractions = {
  path: ['fractionMin'],
  message: 'is for fidelity: images or width; the lowest rung of epochs is epochsMin',
  ...over('fractionMin', 'fidelity'),
};
const hasOwnMinimum = ({
  fidelity = 'epochs',
  fractionMin,
}: {
  readonly fidelity?: string | undefined;
  readonly fractionMin?: number | undefined;
}) => fractionMin === undefined || fidelity !== 'epochs';

const ashaSchema = z
  .strictObject({
    kind: z.literal('asha'),
    ...halving,
    mode: z
      .enum(['promote', 'stop'])
      .default('promote')
      .describe('promote: a trial may go on at any later time; stop: its own result decides at once'),
    atRungs: z
      .enum(['halt', 'go-on'])
      .optional()
      .describe(
        'what a trial does until its rung is judged: halt (the default) stands there and gives its worker to others; go-on trains further meanwhile, with mode: stop alone',
      ),
  })
  .refine((spec) => spec.atRungs !== 'go-on' || spec.mode === 'stop', {
    path: ['atRungs'],
    message: 'go-on is for mode: stop; with mode: promote a trial may wait at its rung for ever',
    ...over('atRungs', 'mode'),
  })
  .refine((spec) => spec.atRungs !== 'go-on' || (spec.fidelity ?? 'epochs') === 'epochs', {
    path: ['atRungs'],
    message: 'go-on is for epochs; another part of the images, or another width, is another run',
    ...over('atRungs', 'fidelity'),
  })
  .refine(hasOwnMinimum, ofFractions);

const hyperbandSchema = z
  .strictObject({ kind: z.literal('hyperband'), ...halving })
  .refine(hasOwnMinimum, ofFractions);

const oneShotSchema = z
  .strictObject({
    kind: z.literal('one-shot'),
    ...learning,
    supernet: z
      .string()
      .min(1)
      .max(200)
      .describe('the search whose weights candidates inherit, by id or name; RUN@EPOCH for an earlier stage'),
    propose: z
      .enum(['evolution', 'random'])
      .default('evolution')
      .describe('how candidates are proposed that are evaluated with inherited weights'),
    population: population.default(20),
    sample: z.int().min(1).max(1000).default(10).describe('as of evolution'),
    mutations,
    crossover: probability.default(0).describe('as of evolution'),
    calibration: z
      .int()
      .min(1)
      .max(CALIBRATION_MAX)
      .default(8)
      .describe('batches of the half of the weights from which a candidate gets batch statistics of its own'),
    train: z
      .int()
      .min(1)
      .max(1000)
      .default(5)
      .describe('candidates, the best with inherited weights, that get the evaluation of the sweep'),
    tauSample: z
      .int()
      .min(2)
      .max(1000)
      .default(12)
      .describe(
        "candidates over the whole ranking that get it too, so that Kendall's tau tells whether inherited weights rank as training does",
      ),
    inherits: inheritsSchema
      .optional()
      .describe('filled in at submit from the search that `supernet` names, and not taken elsewhere'),
  })
  .refine((spec) => spec.propose === 'random' || spec.population <= spec.trials, {
    ...enoughTrials,
    ...over('population', 'trials', 'propose'),
  })
  .refine((spec) => spec.sample <= spec.population, {
    path: ['sample'],
    message: 'the sample is above the population it is taken from',
    ...over('sample', 'population'),
  })
  .refine((spec) => spec.train <= spec.trials, {
    path: ['train'],
    message: 'more candidates are trained than the sweep has trials',
    ...over('train', 'trials'),
  });

/** How candidates are chosen; docs/adding/strategy.md says what a strategy is. */
export const strategySchema = z
  .discriminatedUnion('kind', [
    randomSchema,
    gridSchema,
    evolutionSchema,
    tpeSchema,
    nsga2Schema,
    ashaSchema,
    hyperbandSchema,
    oneShotSchema,
    dartsSchema,
  ])
  .describe('how candidates are chosen');

/** A checked strategy. */
export type StrategySpec = z.infer<typeof strategySchema>;

/** A checked strategy that proposes candidates of a space. */
export type ProposingSpec = Exclude<StrategySpec, { kind: 'darts' }>;

/** How many trials a strategy asks for. */
export const trialsOf = (strategy: StrategySpec): number =>
  strategy.kind === 'darts' ? strategy.seeds.length : strategy.trials;

export type RandomSpec = z.infer<typeof randomSchema>;
export type GridSpec = z.infer<typeof gridSchema>;
export type EvolutionSpec = z.infer<typeof evolutionSchema>;
export type TpeSpec = z.infer<typeof tpeSchema>;
export type AshaSpec = z.infer<typeof ashaSchema>;
export type HyperbandSpec = z.infer<typeof hyperbandSchema>;
export type OneShotSpec = z.infer<typeof oneShotSchema>;
export type Nsga2Spec = z.infer<typeof nsga2Schema>;
