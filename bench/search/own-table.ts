// Our own table: networks of PocketNet's cells, trained by `npm run generate:search-table`, with the verification after
// stages of the training and the scores of the initial weights. It is for what tables of others lack: what an evaluation
// that was cut short says of the full one. Decides what was trained.
//
// The networks are tiny and train for seconds, because the table had to be made on two cores. What tells candidates apart
// has to be larger than what the seed of a training does, and cells at one width and rate were not: full evaluations of
// two seeds agreed with a tau of 0.07. So a candidate is a network of some width, of operations of which one list learns
// nothing, and a learning rate; and a search looks for the area under the curve, which has no threshold to be lucky
// with. A part of the candidates is trained from a second seed, which shows what is noise. Each is verified after every
// epoch, and the full evaluation is 64 times the shortest, because that is what strategies with rungs are for.

import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { z } from 'zod';

/** Where the table is stored. */
export const OWN_TABLE = fileURLToPath(new URL('own-table.json.gz', import.meta.url));

/** Epochs of a training. */
const EPOCHS = 64;

const POOLS = ['max_pool_3x3', 'avg_pool_3x3', 'skip_connect'] as const;

/** What there is to choose, and what every candidate gets. */
export const SETTING = {
  space: {
    channels: [2, 4],
    layers: 4,
    embeddings: [2, 4, 8, 32],
    /** The operations of a candidate are drawn from one of them. */
    ops: [POOLS, ['max_pool_3x3', 'skip_connect', 'dw_conv_3x3'], ['dw_conv_3x3', 'dw_conv_5x5']],
    /** A candidate has one of them. */
    learningRates: [0.003, 0.01, 0.03, 0.1],
  },
  data: { kind: 'synthetic', identities: 30, images: 5, holdout: 20, seed: 5, difficulty: 0.5 },
  training: {
    epochs: EPOCHS,
    batch: 8,
    fraction: 0.64,
    shards: 1,
    loss: { scale: 16, margin: 0.2 },
    milestones: [44, 56],
    gamma: 0.3,
  },
  verification: { pairs: 400 },
  /** Epochs after which a candidate is verified: all. */
  stages: Array.from({ length: EPOCHS }, (_, at) => at + 1),
  /** Candidates are drawn with it. */
  drawSeed: 1,
  trainingSeeds: [1, 2],
  /** One of so many candidates is trained from all seeds, the others from the first. */
  seededEvery: 5,
} as const;

/** What a candidate is; its key is `channels/embedding/genotype/learningRate`. */
export interface Choice {
  readonly channels: number;
  readonly embedding: number;
  /** Key of the canonical genotype. */
  readonly genotype: string;
  readonly learningRate: number;
}

/** The key of a candidate. */
export const keyOfChoice = ({ channels, embedding, genotype, learningRate }: Choice): string =>
  [channels, embedding, genotype, learningRate].join('/');

const numbers = z.array(z.number());

const tableSchema = z.strictObject({
  /** The command that made it. */
  command: z.string(),
  /** Commits of this repository whose code trained it. */
  commits: z.array(z.string()),
  deviceClass: z.string(),
  setting: z.unknown(),
  candidates: z.array(
    z.strictObject({
      /** Which of the candidates that the setting draws it is. */
      number: z.int(),
      key: z.string(),
      parameters: z.number(),
      multiplyAdds: z.number(),
      /** Area under the curve 0..1, by seed and stage. */
      auc: z.array(numbers),
      /** Accuracy 0..1, by seed and stage. */
      accuracy: z.array(numbers),
      /** At the weights of the first seed, by the name of the score; null where it has none. */
      scores: z.record(z.string(), z.number().nullable()),
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
