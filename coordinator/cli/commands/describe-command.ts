// `model describe`: counts layers, parameters and operations of a network or of the search network. It needs
// no fleet. Decides which network a word names and how the counts are laid out.

import type { Command } from 'commander';
import { z } from 'zod';
import { FleetError, toFleetError } from '../../../core/errors.ts';
import type { Description, Row } from '../../../core/nn/describe.ts';
import type { SupernetSpec } from '../../../core/nn/supernet.ts';
import { formatCount, formatNumber } from '../../../core/report/format.ts';
import { type NetworkSpec, networkSchema } from '../../../core/spec/network.ts';
import { print, printJson } from '../screen/output.ts';
import { type Column, table } from '../screen/table.ts';
import { shapedYaml } from '../yaml-file.ts';
import { addDataCommands } from './data-commands.ts';
import { addModelCommands, describedFile, type HintFlags, hintOptions } from './model-commands.ts';

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

export function addLocalCommands(program: Command): void {
  const model = program.command('model').description('look at networks, bring models in and out');
  hintOptions(model.command('describe <network>'))
    .description(
      `layers, parameters and FLOPs of a preset (${Object.keys(PRESETS).join(', ')}), of a YAML file or of a model file`,
    )
    .option('--layers', 'every layer, not only the modules')
    .option('--json', 'print JSON')
    .action(describeModel);
  addModelCommands(model);
  addDataCommands(program);
}

async function describeModel(
  name: string,
  flags: HintFlags & { layers?: boolean; json?: boolean },
): Promise<void> {
  const spec = (await describedFile(name, flags)) ?? (await networkSpec(name));
  const { buildNetwork } = await import('../../../core/nn/build.ts');
  const { buildSupernet } = await import('../../../core/nn/supernet.ts');
  const { describe } = await import('../../../core/nn/describe.ts');
  const description = describe(spec.kind === 'supernet' ? buildSupernet(spec) : buildNetwork(spec));
  if (flags.json) {
    printJson({ network: spec, ...description });
    return;
  }
  if (flags.layers)
    print(
      table<Row>(description.rows, [
        { head: 'LAYER', cell: (row) => row.name },
        { head: 'KIND', cell: (row) => row.kind },
        ...COUNT_COLUMNS,
      ]),
    );
  else
    print(
      table<Module>(description.modules, [{ head: 'MODULE', cell: (row) => row.module }, ...COUNT_COLUMNS]),
    );
  print(
    `\n${formatCount(description.parameters)} parameters, ${formatNumber(description.mflops)} MFLOPs as PocketNet's authors count (${formatNumber(description.multiplyAdds / 1e6)} M multiply-adds)`,
  );
}

type Module = Description['modules'][number];

const COUNT_COLUMNS: readonly Column<Module | Row>[] = [
  { head: 'OUTPUT', align: 'right', cell: (row) => row.output },
  { head: 'PARAMS', align: 'right', cell: (row) => formatCount(row.parameters) },
  { head: 'MFLOPS', align: 'right', cell: (row) => formatNumber(row.mflops, 3) },
  { head: 'M MULT-ADDS', align: 'right', cell: (row) => formatNumber(row.multiplyAdds / 1e6, 3) },
];

/** A preset, or the `network` of a YAML file (or the file itself, when it is one). */
async function networkSpec(name: string): Promise<NetworkSpec | SupernetSpec> {
  const preset = PRESETS[name];
  if (preset !== undefined) return describedSchema.parse(preset);
  try {
    return await shapedYaml<z.ZodType<NetworkSpec | SupernetSpec>>(name, {
      key: 'network',
      noun: 'network',
      schemaOf: (value) =>
        (value as { kind?: unknown } | null | undefined)?.kind === 'supernet'
          ? supernetSchema
          : networkSchema,
    });
  } catch (caught) {
    const error = toFleetError(caught);
    if (error.code !== 'notFound') throw error;
    throw new FleetError(
      'notFound',
      `${name} is neither a preset (${Object.keys(PRESETS).join(', ')}) nor a file that can be read`,
      { cause: caught },
    );
  }
}
