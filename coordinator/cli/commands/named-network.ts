// Which network a word on the command line names: a preset, a genotype, a YAML or JSON file, or a model file.

import { z } from 'zod';
import { advised, FleetError, toFleetError } from '../../../core/errors.ts';
import { GENOTYPES } from '../../../core/nn/genotype.ts';
import type { SupernetSpec } from '../../../core/nn/supernet.ts';
import {
  type Genotype,
  genotypeSchema,
  type NetworkSpec,
  networkSchema,
} from '../../../core/spec/network.ts';
import { shapedYaml } from '../yaml-file.ts';
import { describedFile, type HintFlags } from './model-commands.ts';

/** Published networks by the names that the literature uses. */
const PRESETS: Readonly<Record<string, unknown>> = {
  'pocketnet-s128': { kind: 'pocketnet', channels: 16, layers: 18, embedding: 128 },
  'pocketnet-s256': { kind: 'pocketnet', channels: 16, layers: 18, embedding: 256 },
  'pocketnet-m128': { kind: 'pocketnet', channels: 32, layers: 9, embedding: 128 },
  'pocketnet-m256': { kind: 'pocketnet', channels: 32, layers: 9, embedding: 256 },
  'iresnet-18': { kind: 'iresnet', blocks: [2, 2, 2, 2] },
  'iresnet-34': { kind: 'iresnet', blocks: [3, 4, 6, 3] },
  'iresnet-50': { kind: 'iresnet', blocks: [3, 4, 14, 3] },
  'iresnet-100': { kind: 'iresnet', blocks: [3, 13, 30, 3] },
  mobilefacenet: { kind: 'mobilefacenet' },
  supernet: { kind: 'supernet' },
};

/** The search network. Its defaults are those of the published search on CASIA-WebFace. */
const supernetSchema = z.strictObject({
  kind: z.literal('supernet'),
  channels: z.int().min(2).max(512).multipleOf(2).default(16),
  layers: z.int().min(4).max(64).default(8),
  classes: z.int().min(2).default(10_572),
});
const describedSchema = z.union([networkSchema, supernetSchema]);

/** The names of presets, for people. */
export const PRESET_NAMES = Object.keys(PRESETS).join(', ');

/** The network of a word: a model file's, or that of `networkSpec`. */
export async function namedNetwork(name: string, flags: HintFlags): Promise<NetworkSpec | SupernetSpec> {
  return (await describedFile(name, flags)) ?? (await networkSpec(name));
}

/**
 * A preset, or the `network` of a YAML file (or the file itself, when it is one). A genotype, by name or as a file, is
 * the network of that genotype in the sizes of PocketNetS-128.
 */
async function networkSpec(name: string): Promise<NetworkSpec | SupernetSpec> {
  const preset = PRESETS[name];
  if (preset !== undefined) return describedSchema.parse(preset);
  const genotype = Object.entries(GENOTYPES).find(([known]) => known === name)?.[1];
  if (genotype !== undefined) return networkOf(genotype);
  try {
    const found = await shapedYaml<z.ZodType<NetworkSpec | SupernetSpec | Genotype>>(name, {
      key: 'network',
      noun: 'network',
      schemaOf: (value) => {
        const { kind, normal } = (value ?? {}) as { kind?: unknown; normal?: unknown };
        if (kind === undefined && normal !== undefined) return genotypeSchema;
        return kind === 'supernet' ? supernetSchema : networkSchema;
      },
    });
    return 'kind' in found ? found : networkOf(found);
  } catch (caught) {
    const error = toFleetError(caught);
    if (error.code !== 'notFound') throw error;
    const others = `a preset (${PRESET_NAMES}) or a genotype (${Object.keys(GENOTYPES).join(', ')})`;
    if (namesFile(name)) throw advised(error, `name another file, ${others}`);
    throw new FleetError('notFound', `${name} is neither a file here nor ${others}`, { cause: caught });
  }
}

/** Whether a word can be meant as a file alone: it has folders, or the ending of one. */
export const namesFile = (word: string): boolean => /[/\\]|\.(ya?ml|json|pth?|ckpt|safetensors)$/i.test(word);

const networkOf = (genotype: Genotype): NetworkSpec =>
  networkSchema.parse({ ...(PRESETS['pocketnet-s128'] as object), genotype });
