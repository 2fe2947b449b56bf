// `data sheet`: images of a data set as one picture, so that a person sees what a network is shown. Decides
// which people and images are on it.

import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { FleetError, toFleetError } from '../../../core/errors.ts';
import { type DataSpec, dataSchema } from '../../../core/spec/data.ts';
import { shaped } from '../../../core/text/shape.ts';
import { wholeNumber } from '../context.ts';
import { checkFilePlace, writeOutput } from '../output-file.ts';
import { say, tellWritten } from '../screen/output.ts';
import { addDataCheck } from './data-check.ts';

interface SheetFlags {
  readonly output: string;
  readonly kind: 'synthetic' | 'folder' | 'recordio';
  readonly path?: string;
  readonly identities: number;
  readonly images: number;
  readonly seed: number;
  readonly difficulty: string;
}

export function addDataCommands(program: Command): void {
  const data = program.command('data').description('look at data sets');
  addDataCheck(data);
  data
    .command('sheet')
    .description('write a contact sheet: a row for each person')
    .requiredOption('-o, --output <file>', 'PNG file to write; - is stdout')
    .addOption(
      new Option('--kind <kind>', 'where the images come from')
        .choices(['synthetic', 'folder', 'recordio'])
        .default('synthetic'),
    )
    .option(
      '--path <dir>',
      'folder of kind folder (one folder a person) or recordio (train.rec and train.idx)',
    )
    .option('--identities <n>', 'rows', wholeNumber(1, 100), 8)
    .option('--images <n>', 'images in a row', wholeNumber(1, 100), 10)
    .option('--seed <n>', 'of the drawn faces', wholeNumber(0, 0xffff_ffff), 1)
    .option('--difficulty <x>', 'of the drawn faces, 0 to 1', '1')
    .action(sheet);
}

async function sheet(flags: SheetFlags): Promise<void> {
  const { openDataset } = await import('../../../core/data/dataset.ts');
  const { contactSheet } = await import('../../../core/data/images/sheet.ts');
  await checkFilePlace(flags.output);
  const dataset = await openDataset(dataSpec(flags)).catch((caught: unknown) => {
    const { code, message } = toFleetError(caught);
    throw new FleetError(code, message.replace(/^data\.path: /, '--path: '), { cause: caught });
  });
  try {
    const png = await contactSheet(dataset, { identities: flags.identities, images: flags.images });
    for (const note of dataset.notes) say(`note: ${note}`);
    const file = await writeOutput(flags.output, png);
    tellWritten({ file }, file, {});
  } finally {
    await dataset.close();
  }
}

/** Fewest people that a data set may have by spec: two to learn from and two to verify. */
const IDENTITIES_MIN = 4;

function dataSpec(flags: SheetFlags): DataSpec {
  const value =
    flags.kind === 'synthetic'
      ? {
          kind: flags.kind,
          // Two more people than are shown, because the spec holds two out.
          identities: Math.max(IDENTITIES_MIN, flags.identities + 2),
          images: Math.max(2, flags.images),
          holdout: 2,
          seed: flags.seed,
          difficulty: Number(flags.difficulty),
        }
      : {
          kind: flags.kind,
          path: flags.path === undefined ? '' : resolve(flags.path),
          holdout: 2,
          // Labels do not matter for a picture, so any are taken.
          ...(flags.kind === 'recordio' ? { labels: 'renumber' } : {}),
        };
  if (flags.kind !== 'synthetic' && flags.path === undefined)
    throw new FleetError('invalidArgument', `--kind ${flags.kind} needs --path DIR, the folder to read`);
  return shaped(dataSchema, value, 'data sheet');
}
