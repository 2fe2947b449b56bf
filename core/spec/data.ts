// What a data set may be: faces that are drawn, a folder of people, or a record pack. Decides what is
// well-formed, not whether it exists.

import { z } from 'zod';
import { seed } from './common.ts';

/** The longest path that Linux takes. */
const dataPath = z.string().min(1).max(4096);

/** Characters that a list of left-out images may take: each run of a sweep is journalled with its list. */
export const SKIPPED_TEXT_MAX = 32_768;

const holdout = z.int().min(2).describe('identities kept out of training, for verification');

// These fields have no default in the schema: a spec's canonical text is a part of a run's identity, and the
// text of a spec from before these fields must stay what it was.
const storedFields = {
  onCorrupt: z
    .enum(['fail', 'skip'])
    .optional()
    .describe(
      'what corrupt images do at submit: fail (the default) refuses and names them; skip looks at every image and leaves the corrupt ones out',
    ),
  skipped: z
    .strictObject({
      count: z.int().min(1).describe('images that are left out'),
      digest: z
        .string()
        .regex(/^[0-9a-f]{64}$/, 'a SHA-256 of 64 hex digits')
        .describe('SHA-256 of their numbers'),
      list: z.base64().max(SKIPPED_TEXT_MAX).describe('their numbers, packed'),
    })
    .optional()
    .describe('with onCorrupt: skip, the images that are left out; filled in at submit'),
};

/** A data set of one of three kinds. */
export const dataSchema = z
  .discriminatedUnion('kind', [
    z.strictObject({
      kind: z.literal('synthetic'),
      identities: z.int().min(4).max(100_000).describe('people that are drawn'),
      images: z.int().min(2).max(1000).describe('images of each identity'),
      holdout,
      seed: seed.default(1),
      difficulty: z
        .number()
        .min(0)
        .max(1)
        .default(1)
        .describe(
          '0: frontal and evenly lit; 1: full variation of pose, light, expression, occlusion and blur',
        ),
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
  ])
  .describe('faces that are drawn, a folder of people, or a record pack');

/** A checked data set. */
export type DataSpec = z.infer<typeof dataSchema>;
