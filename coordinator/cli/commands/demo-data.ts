// Real photographs for the demo: what a folder of people means for a plan that was written for drawn faces.
// Decides how many people are held out, and how many pairs the plan may ask for at most. Both become
// overrides, as `--set` gives them.

import { readdir, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { FleetError } from '../../../core/errors.ts';

/**
 * People who are kept out of training, so that verification meets strangers: a quarter, and at least this
 * many.
 */
const HOLDOUT_MIN = 10;
/** People that a network learns from, at least. */
const TRAINED_MIN = 4;

/**
 * Overrides for the plan in `planFile`: its data is `folder`, and no part asks for more pairs than the
 * photographs allow.
 */
export async function folderOverrides(folder: string, planFile: string): Promise<Record<string, string>> {
  const path = resolve(folder);
  const images = await imagesOfPeople(path);
  if (images.length < HOLDOUT_MIN + TRAINED_MIN)
    throw new FleetError(
      'invalidArgument',
      `--data ${path} has ${images.length} folders; the demo needs at least ${HOLDOUT_MIN + TRAINED_MIN}: ${HOLDOUT_MIN} people for verification and ${TRAINED_MIN} to learn from`,
    );
  const holdout = Math.max(HOLDOUT_MIN, Math.round(images.length / 4));
  const overrides: Record<string, string> = { data: JSON.stringify({ kind: 'folder', path, holdout }) };
  const pairsMax = pairsPossible(images, holdout);
  for (const { path: where, pairs } of pairsAskedFor(await readFile(planFile, 'utf8')))
    if (pairs > pairsMax) overrides[where] = String(pairsMax);
  return overrides;
}

/** Images in the folder of each person. */
async function imagesOfPeople(path: string): Promise<number[]> {
  try {
    const people = (await readdir(path, { withFileTypes: true })).filter((entry) => entry.isDirectory());
    const files = await Promise.all(people.map(({ name }) => readdir(join(path, name))));
    return files.map((names) => names.filter((name) => !name.startsWith('.')).length);
  } catch (caught) {
    throw new FleetError(
      'notFound',
      `--data ${path} cannot be read; name a folder that holds one folder of images for each person`,
      { cause: caught },
    );
  }
}

/**
 * Pairs that the photographs allow whoever is held out: twice the genuine pairs of those with the fewest
 * images, as a multiple of 20 (ten folds of both sorts), at least the 20 that a plan may ask for.
 */
export function pairsPossible(images: readonly number[], holdout: number): number {
  const fewest = [...images].sort((a, b) => a - b).slice(0, holdout);
  const genuine = fewest.reduce((sum, n) => sum + (n * (n - 1)) / 2, 0);
  return Math.max(20, Math.floor((2 * genuine) / 20) * 20);
}

/**
 * Where the first document of a text asks for `verification: { pairs: N }`, as override paths, which reach
 * that one alone. A text that is no YAML has none here; the coordinator refuses it.
 */
export function pairsAskedFor(text: string): { path: string; pairs: number }[] {
  const found: { path: string; pairs: number }[] = [];
  const walk = (value: unknown, at: readonly string[]): void => {
    if (typeof value !== 'object' || value === null) return;
    for (const [key, inner] of Object.entries(value)) {
      const here = [...at, key];
      if (key === 'pairs' && at.at(-1) === 'verification' && typeof inner === 'number')
        found.push({ path: here.join('.'), pairs: inner });
      walk(inner, here);
    }
  };
  const [plan] = parseAllDocuments(text);
  if (plan !== undefined && plan.errors.length === 0) walk(plan.toJS(), []);
  return found;
}
