// What a network may be: a PocketNet of any genotype, an IResNet or a MobileFaceNet. Decides what is
// well-formed, and refuses sizes that would take the memory of a machine.

import { z } from 'zod';
import { foundText } from '../text/printable.ts';

/**
 * The eight candidate operations in the column order of every alpha matrix (PocketNet search space); `none`
 * cannot be chosen.
 */
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

/** The name of one candidate operation. */
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

/**
 * Two edges for each of four nodes, for normal and for reduction cells. An edge is [op, input]; inputs 0 and
 * 1 are the cells k-2 and k-1, higher ones are the nodes of the same cell.
 */
export const genotypeSchema = z.strictObject({
  normal: cell.describe('two edges [op, input] for each of four nodes of a normal cell'),
  normal_concat: z
    .tuple([z.literal(2), z.literal(3), z.literal(4), z.literal(5)])
    .default([2, 3, 4, 5])
    .describe('nodes that the cell puts out; fixed'),
  reduce: cell.describe('the same for a reduction cell'),
  reduce_concat: z
    .tuple([z.literal(2), z.literal(3), z.literal(4), z.literal(5)])
    .default([2, 3, 4, 5])
    .describe('nodes that the cell puts out; fixed'),
});

/** The checked cells of a PocketNet. */
export type Genotype = z.infer<typeof genotypeSchema>;

/** A number of channels that halves without a rest. */
export const evenChannels = z
  .int()
  .min(2)
  .max(512)
  .multipleOf(2)
  .describe('working channels C of the first cells');

/** Embedding before the classifier of a search network; fixed in the reference. */
export const SUPERNET_EMBEDDING = 128;

/** Width E of the embedding. */
export const embedding = z.int().min(2).max(1024).describe('width of the embedding');

/**
 * Far beyond any published network: a larger number is a slip, and building it would take the machine's
 * memory.
 */
const blocks = z.int().min(1).max(1000);

const width = z.int().min(1).max(8192);

/** A search of the fleet by id or name, at its end or at an epoch: `casia-search@12`. */
export const genotypeReference = z
  .string()
  .regex(
    /^[a-z0-9][a-z0-9._-]{0,62}(@[1-9]\d{0,4})?$/,
    'a published genotype (casia, cifar10), a search of this fleet as RUN or RUN@EPOCH, or the cells',
  );

/** A PocketNet: a chain of cells, two of whose kinds a genotype describes. */
export const pocketnetSchema = z.strictObject({
  kind: z.literal('pocketnet'),
  channels: evenChannels
    .default(16)
    .describe(
      'Working channels C of the first cells. C doubles at each reduction, and a cell has 4C output channels',
    ),
  layers: z
    .int()
    .min(4)
    .max(64)
    .default(18)
    .describe('Number of cells L. Below 4 two of the three reductions would coincide'),
  embedding: embedding.default(128),
  genotype: z
    .union([z.enum(['casia', 'cifar10']), genotypeSchema, genotypeReference])
    .default('casia')
    .describe(
      'the cells; a published genotype by name; or RUN or RUN@EPOCH: what a search of this fleet has found, which is filled in at submit',
    ),
});

const iresnetSchema = z.strictObject({
  kind: z.literal('iresnet'),
  blocks: z
    .tuple([blocks, blocks, blocks, blocks])
    .describe(
      'Residual blocks of each of the four stages: IResNet-18 2,2,2,2; -34 3,4,6,3; -50 3,4,14,3; -100 3,13,30,3',
    ),
  widths: z
    .tuple([width, width, width, width])
    .default([64, 128, 256, 512])
    .describe('Channels of each of the four stages'),
  stem: width.default(64).describe('Channels of the first convolution; the original has 64'),
  embedding: embedding.default(128),
});

const mobilefacenetSchema = z.strictObject({
  kind: z.literal('mobilefacenet'),
  embedding: embedding.default(128),
});

/** A network of one of three families. */
export const networkSchema = z
  .discriminatedUnion('kind', [pocketnetSchema, iresnetSchema, mobilefacenetSchema])
  .describe('a PocketNet, an IResNet or a MobileFaceNet');

/** A checked network. */
export type NetworkSpec = z.infer<typeof networkSchema>;

/** A checked PocketNet. */
export type PocketnetSpec = z.infer<typeof pocketnetSchema>;

/** A checked IResNet. */
export type IresnetSpec = z.infer<typeof iresnetSchema>;
