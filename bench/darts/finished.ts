// Arms of `bench:darts` that are done, in a file of the cache: a search takes minutes, and a run of the benchmark that is
// ended goes on where it was. Results belong to one setting, with the folder and the number of its images; of another none
// is read.

import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { sha256Hex } from '../../core/digest.ts';
import type { ArmResult, DartsSetting } from './arms.ts';

/** The name of the file of a setting on so many training images. */
export const finishedName = (setting: DartsSetting, trainingImages: number): string =>
  `${sha256Hex(JSON.stringify([setting, trainingImages])).slice(0, 16)}.json`;

/** The results of the file; none where there is no file. */
export function readFinished(file: string): ArmResult[] {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as ArmResult[];
  } catch (caught) {
    if ((caught as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw caught;
  }
}

/** Writes all results, so that the file is the old or the new one at any moment. */
export function writeFinished(file: string, results: readonly ArmResult[]): void {
  mkdirSync(dirname(file), { recursive: true });
  const part = `${file}.${process.pid}`;
  writeFileSync(part, `${JSON.stringify(results, undefined, 1)}\n`);
  renameSync(part, file);
}
