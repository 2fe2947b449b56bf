// Which strategy a search has, and its knobs.

import { z } from 'zod';
import { seed } from './common.ts';

// What is optional here has no default in the schema, so that the text of a spec from before such a field stays
// what it was.
const common = {
  trials: z.int().min(1).max(1_000_000),
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

const probability = z.number().min(0).max(1);

const evolutionSchema = z
  .strictObject({
    kind: z.literal('evolution'),
    ...learning,
    population: z
      .int()
      .min(2)
      .max(10_000)
      .default(50)
      .describe('newest results that parents are chosen among; as many candidates are drawn at random first'),
    sample: z.int().min(1).max(10_000).default(10).describe('results of which the best becomes a parent'),
    mutations: z.int().min(1).max(100).default(1).describe('genes that a child has changed'),
    crossover: probability.default(0).describe('probability that a child has two parents'),
  })
  .refine((spec) => spec.population <= spec.trials, {
    path: ['population'],
    message: 'the population is above the trials of the sweep, so that no child would be bred',
  })
  .refine((spec) => spec.sample <= spec.population, {
    path: ['sample'],
    message: 'the sample is above the population it is taken from',
  });

const randomSchema = z.strictObject({ kind: z.literal('random').default('random'), ...common });

/** How candidates are chosen; docs/adding/strategy.md says what a strategy is. */
export const strategySchema = z.discriminatedUnion('kind', [randomSchema, evolutionSchema]);

/** A checked strategy. */
export type StrategySpec = z.infer<typeof strategySchema>;

export type RandomSpec = z.infer<typeof randomSchema>;
export type EvolutionSpec = z.infer<typeof evolutionSchema>;
