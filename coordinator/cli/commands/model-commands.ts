// Commands on model files, without a fleet: `model import` turns a PyTorch or safetensors file into one that
// names its network, `model export` writes other programs' formats. Decides how flags describe a file whose
// tensors do not suffice.

import { type Command, Option } from 'commander';
import { EXPORT_FORMATS, type ExportFormat } from '../../../core/model/export-format.ts';
import type { NetworkHint } from '../../../core/model/recognise.ts';
import { GENOTYPES } from '../../../core/nn/genotype.ts';
import { formatBytes, formatCount } from '../../../core/report/format.ts';
import {
  type Genotype,
  genotypeSchema,
  type NetworkSpec,
  networkSchema,
} from '../../../core/spec/network.ts';
import { printJson, say, tellWritten } from '../screen/output.ts';
import { shapedYaml } from '../yaml-file.ts';
import { checkModelPlace, modelOutput, writeModel } from './model-output.ts';

/** Facts about a model file that do not follow from its tensors, given by flags. */
export interface HintFlags {
  readonly genotype?: string;
  readonly network?: string;
}

export function hintOptions(command: Command): Command {
  return command
    .option(
      '--genotype <name|file>',
      `cells of a PocketNet file: ${Object.keys(GENOTYPES).join(', ')}, or a YAML or JSON file`,
    )
    .option('--network <file>', 'the whole network of a model file, as YAML or JSON');
}

export function formatOption(): Option {
  return new Option('--format <format>', 'where the extension of the file does not say it').choices(
    EXPORT_FORMATS,
  );
}

/** What `-o` of an exported model takes. */
export const OUTPUT_HELP =
  'file to write: .safetensors or .onnx; a folder or .tfjs for TensorFlow.js, .zip for its files in one; - is stdout';

export function addModelCommands(model: Command): void {
  hintOptions(model.command('import <file>'))
    .description(
      "check a model file (safetensors, or PyTorch's .pth of a state_dict) and write it with its network",
    )
    .option(
      '-o, --output <file>',
      'safetensors file to write, - is stdout; without it the file is only checked',
    )
    .option('--json', 'print JSON')
    .action(importFile);
  hintOptions(model.command('export <file>'))
    .description('write a model file in another format')
    .requiredOption('-o, --output <file>', OUTPUT_HELP)
    .addOption(formatOption())
    .option('--json', 'print JSON')
    .action(exportFile);
}

/** The network of a model file and how it was recognised; undefined where the name is no such file. */
export async function describedFile(name: string, flags: HintFlags): Promise<NetworkSpec | undefined> {
  const { isStateFile } = await import('../../../core/model/state-file.ts');
  if (!(await isStateFile(name))) return undefined;
  const { inspectModel } = await import('../../../core/model/import.ts');
  const { network, reason, metadata } = await inspectModel(name, await readHint(flags));
  say(`${name}: ${kindText(network.spec)}; ${reason}`);
  for (const [key, value] of Object.entries(metadata)) if (key !== 'network') say(`  ${key}: ${value}`);
  return network.spec;
}

async function importFile(
  name: string,
  flags: HintFlags & { output?: string; json?: boolean },
): Promise<void> {
  const { importModel, modelFile } = await import('../../../core/model/import.ts');
  const output = flags.output === undefined ? undefined : modelOutput(flags.output, 'safetensors');
  if (output !== undefined) await checkModelPlace(output);
  const model = await importModel(name, await readHint(flags));
  const { network, reason, format } = model;
  const parameters = model.layout.backboneCount;
  const facts = { format, network: network.spec, reason, parameters };
  if (!flags.json)
    say(`${name}: ${kindText(network.spec)}, ${formatCount(parameters)} parameters (${format}); ${reason}`);
  if (output !== undefined) {
    const file = await writeModel(modelFile(model), output);
    tellWritten({ ...facts, file }, file, flags);
  } else if (flags.json) printJson(facts);
  else say('nothing was written; -o FILE writes it with its network');
}

async function exportFile(
  name: string,
  flags: HintFlags & { output: string; format?: ExportFormat; json?: boolean },
): Promise<void> {
  const output = modelOutput(flags.output, flags.format);
  const { importModel, carried } = await import('../../../core/model/import.ts');
  const { exportModel } = await import('../../../core/model/export-format.ts');
  await checkModelPlace(output);
  const model = await importModel(name, await readHint(flags));
  const bytes = exportModel({ ...model, format: output.format, metadata: carried(model.metadata) });
  const file = await writeModel(bytes, output);
  const written = { file, format: output.format, bytes: bytes.length };
  tellWritten(written, `${file} (${formatBytes(bytes.length)})`, flags);
}

export async function readHint(flags: HintFlags): Promise<NetworkHint | undefined> {
  if (flags.network !== undefined) {
    const named = { key: 'network', noun: 'network', schemaOf: () => networkSchema };
    return { kind: 'network', network: await shapedYaml(flags.network, named) };
  }
  if (flags.genotype === undefined) return undefined;
  const known = Object.entries(GENOTYPES).find(([name]) => name === flags.genotype)?.[1];
  const named = { key: 'genotype', noun: 'genotype', schemaOf: () => genotypeSchema };
  const genotype: Genotype = known ?? (await shapedYaml(flags.genotype, named));
  return { kind: 'genotype', genotype };
}

function kindText(spec: NetworkSpec): string {
  switch (spec.kind) {
    case 'pocketnet':
      return `PocketNet, C=${spec.channels}, ${spec.layers} layers, E=${spec.embedding}`;
    case 'iresnet':
      return `IResNet, blocks ${spec.blocks.join('-')}, widths ${spec.widths.join('-')}, E=${spec.embedding}`;
    case 'mobilefacenet':
      return `MobileFaceNet, E=${spec.embedding}`;
  }
}
