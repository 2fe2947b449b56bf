// The files that a verification leaves: the whole result as JSON, and its ROC curves as one SVG that needs nothing else.

import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { toFleetError } from '../../core/errors.ts';
import { toJson } from './output.ts';
import { type Curve, rocSvg } from './roc-svg.ts';

/** Writes PREFIX.json, and PREFIX.svg where there is a curve; returns their paths. */
export async function writeVerification(
  prefix: string,
  result: unknown,
  sets: readonly (object | Curve)[],
): Promise<string[]> {
  const curves = sets.filter((set): set is Curve => 'fpr' in set && 'tpr' in set && 'name' in set);
  const files = [{ path: resolve(`${prefix}.json`), text: `${toJson(result, 2)}\n` }];
  if (curves.length > 0) files.push({ path: resolve(`${prefix}.svg`), text: rocSvg(curves) });
  try {
    await mkdir(dirname(resolve(prefix)), { recursive: true });
    for (const { path, text } of files) await writeFile(path, text);
  } catch (caught) {
    throw toFleetError(caught, `writing ${prefix}.json`);
  }
  return files.map(({ path }) => path);
}
