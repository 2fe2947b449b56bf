// `data check`: decodes every image of a data set and names those that cannot be decoded, so that a set is
// repaired once and not one image after each failed run. Decides what is printed.

import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { cacheFolder } from '../../../core/config.ts';
import type { CheckReport } from '../../../core/data/inspection/check-path.ts';
import { createInspections } from '../../../core/data/inspection/inspections.ts';
import { printable } from '../../../core/text/printable.ts';
import { interruptible } from '../context.ts';
import { print, printJson, say } from '../screen/output.ts';
import { progressLine } from '../screen/progress-line.ts';

export function addDataCheck(data: Command): void {
  data
    .command('check <path>')
    .description(
      'look at every image of a folder of people, a folder with train.rec and train.idx, or a .bin file, and name the corrupt ones',
    )
    .option('--json', 'print JSON')
    .action(check);
}

async function check(path: string, flags: { readonly json?: boolean }): Promise<void> {
  const progress = progressLine();
  const inspections = createInspections({
    cacheDir: join(cacheFolder(), 'data'),
    lanes: availableParallelism(),
  });
  let report: CheckReport;
  try {
    report = await interruptible((signal) =>
      inspections.path(resolve(path), { signal, onProgress: (at) => progress.show(path, at) }),
    );
  } finally {
    progress.close();
    await inspections.close();
  }
  if (flags.json) printJson(report);
  else {
    for (const { name, reason } of report.bad) print(printable(`${name}: ${reason}`));
    for (const note of report.notes) say(`note: ${note}`);
    say(summary(report));
  }
  if (report.bad.length > 0) process.exitCode = 1;
}

const NOUNS: Readonly<Record<CheckReport['kind'], string>> = {
  folder: 'people',
  recordio: 'classes',
  bin: 'pairs',
};

function summary({ kind, path, images, classes, bad }: CheckReport): string {
  const found =
    bad.length === 0
      ? 'none is corrupt'
      : `${bad.length} ${bad.length === 1 ? 'is' : 'are'} corrupt${kind === 'bin' ? '' : '; repair or remove them, or leave them out with `data.onCorrupt: skip`'}`;
  return `${path}: ${images} images of ${classes} ${NOUNS[kind]}, ${found}`;
}
