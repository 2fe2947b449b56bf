// `model describe`: counts layers, parameters and operations of a network or of the search network. It needs
// no fleet. Decides which network a word names and how the counts are laid out.

import type { Command } from 'commander';
import type { Description, Row } from '../../../core/nn/describe.ts';
import { formatCount, formatNumber } from '../../../core/report/format.ts';
import { print, printJson } from '../screen/output.ts';
import { type Column, table } from '../screen/table.ts';
import { addDataCommands } from './data-commands.ts';
import { addModelCommands, type HintFlags, hintOptions } from './model-commands.ts';
import { namedNetwork, PRESET_NAMES } from './named-network.ts';
import { addScoreCommand } from './score-command.ts';

export function addLocalCommands(program: Command): void {
  const model = program.command('model').description('look at networks, bring models in and out');
  hintOptions(model.command('describe <network>'))
    .description(
      `layers, parameters and FLOPs of a preset (${PRESET_NAMES}), a genotype, a YAML file or a model file`,
    )
    .option('--layers', 'every layer, not only the modules')
    .option('--json', 'print JSON')
    .action(describeModel);
  addModelCommands(model);
  addScoreCommand(model);
  addDataCommands(program);
}

async function describeModel(
  name: string,
  flags: HintFlags & { layers?: boolean; json?: boolean },
): Promise<void> {
  const spec = await namedNetwork(name, flags);
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
