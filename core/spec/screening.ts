// Which candidates of a search are evaluated: of each group that is drawn, those with the best scores at initial
// weights.

import { z } from 'zod';

/** Scores of networks at their initial weights, core/screening. */
export const SCORES = ['synflow', 'naswot', 'zico', 'zen'] as const;
export type ScoreName = (typeof SCORES)[number];

/** How a search screens its candidates. */
export const screeningSchema = z
  .strictObject({
    score: z
      .union([z.enum(SCORES), z.array(z.enum(SCORES)).min(1).max(SCORES.length)])
      .describe('a score of networks at initial weights, or several, whose ranks are averaged'),
    keep: z.number().gt(0).lt(1).default(0.25).describe('share of a group that is evaluated: the best'),
    of: z
      .int()
      .min(2)
      .max(1_000)
      .default(64)
      .describe('candidates of a group, which are drawn and scored together'),
  })
  .describe(
    'candidates are scored before anything is trained, and only the best of each group are evaluated',
  );

/** A checked screening. */
export type ScreeningSpec = z.infer<typeof screeningSchema>;

/** The scores of a screening, each once. */
export const scoresIn = ({ score }: Pick<ScreeningSpec, 'score'>): readonly ScoreName[] => [
  ...new Set(typeof score === 'string' ? [score] : score),
];
