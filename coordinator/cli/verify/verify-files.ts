// The files that a verification writes: the whole result as JSON and its ROC curves as one self-contained
// SVG, or the JSON alone on stdout.

import { type Curve, rocSvg } from '../../../core/report/roc.ts';
import { checkFilePlace, STDOUT, writeOutput } from '../output-file.ts';
import { toJson } from '../screen/output.ts';

/** Refuses a prefix whose files cannot be written, before anything is verified. */
export async function checkVerificationPlace(prefix: string): Promise<void> {
  if (prefix !== STDOUT) await checkFilePlace(`${prefix}.json`);
}

/** Writes PREFIX.json, and PREFIX.svg where there is a curve; returns their paths. */
export async function writeVerification(
  prefix: string,
  result: unknown,
  sets: readonly (object | Curve)[],
): Promise<string[]> {
  const curves = sets.filter((set): set is Curve => 'fpr' in set && 'tpr' in set && 'name' in set);
  const files = [{ path: `${prefix}.json`, text: `${toJson(result, 2)}\n` }];
  if (curves.length > 0) files.push({ path: `${prefix}.svg`, text: rocSvg(curves) });
  const written: string[] = [];
  for (const { path, text } of files) written.push(await writeOutput(path, text));
  return written;
}
