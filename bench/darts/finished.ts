// Arms of `bench:darts` that are done, in a file of the cache: a search takes minutes, and a run of the benchmark that is
// ended goes on where it was. Results belong to one setting, with the folder and the number of its images; of another none
// is read.

import { sha256Hex } from '../../core/digest.ts';
import { textIfThere, writeWhole } from '../whole-file.ts';
import type { ArmResult, DartsSetting } from './arms.ts';

/** The name of the file of a setting on so many training images. */
export const finishedName = (setting: DartsSetting, trainingImages: number): string =>
  `${sha256Hex(JSON.stringify([setting, trainingImages])).slice(0, 16)}.json`;

/** The results of the file; none where there is no file. */
export function readFinished(file: string): ArmResult[] {
  const text = textIfThere(file);
  return text === undefined ? [] : (JSON.parse(text) as ArmResult[]);
}

/** Writes all results. */
export function writeFinished(file: string, results: readonly ArmResult[]): void {
  writeWhole(file, `${JSON.stringify(results, undefined, 1)}\n`);
}
