// Our own table: candidates of PocketNet's cells, each trained from several seeds by `npm run generate:search-table`,
// with the verification accuracy after every epoch and the scores of the initial weights. It is for what tables of
// others lack: what an evaluation that was cut short says of the full one. Decides what was trained.
//
// The networks are tiny and train for seconds, because the table had to be made on two cores; so seeds move a result
// by much, and what the table says about that stands with each figure of the bench. Of 88 candidates the full
// evaluations of two seeds agreed with a tau of 0.07 (95 %: -0.07 to 0.21): this setting tells candidates apart hardly
// better than chance, no early result can foretell its full one, and no table of it is kept. One that is needs more
// people and pairs to be verified with, or candidates that differ by more.

import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { z } from 'zod';

/** Where the table is stored. */
export const OWN_TABLE = fileURLToPath(new URL('own-table.json.gz', import.meta.url));

/** What every candidate has, and gets. */
export const SETTING = {
  space: {
    kind: 'pocketnet-cells',
    channels: 4,
    layers: 4,
    embedding: 32,
    ops: ['max_pool_3x3', 'avg_pool_3x3', 'skip_connect', 'dw_conv_3x3'],
  },
  data: { kind: 'synthetic', identities: 20, images: 5, holdout: 10, seed: 5, difficulty: 0.5 },
  training: {
    epochs: 9,
    batch: 10,
    shards: 1,
    loss: { scale: 16, margin: 0.2 },
    optimizer: { learningRate: 0.02, milestones: [6, 8], gamma: 0.3 },
  },
  verification: { pairs: 200 },
  /** Candidates are drawn with it. */
  drawSeed: 1,
  trainingSeeds: [1, 2],
} as const;

const numbers = z.array(z.number());

const tableSchema = z.strictObject({
  setting: z.unknown(),
  deviceClass: z.string(),
  candidates: z.array(
    z.strictObject({
      /** Key of the canonical genotype. */
      key: z.string(),
      parameters: z.number(),
      multiplyAdds: z.number(),
      /** Accuracy 0..1 by seed, after each epoch. */
      accuracy: z.array(numbers),
      /** By the name of the score, a value for each seed; null where it has none. */
      scores: z.record(z.string(), z.array(z.number().nullable())),
    }),
  ),
});

/** The table as it is stored. */
export type OwnTable = z.infer<typeof tableSchema>;

/** One candidate of the table. */
export type OwnCandidate = OwnTable['candidates'][number];

/** The stored table; undefined where there is none. Throws when it was made with another setting. */
export function readOwnTable(path = OWN_TABLE): OwnTable | undefined {
  if (!existsSync(path)) return undefined;
  const table = tableSchema.parse(JSON.parse(gunzipSync(readFileSync(path)).toString()));
  if (JSON.stringify(table.setting) !== JSON.stringify(SETTING))
    throw new Error(
      `${path} was made with another setting; make it again with npm run generate:search-table`,
    );
  return table;
}
