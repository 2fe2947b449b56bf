// Lines of a text file in batches, while it is read: metadata of benchmarks has up to sixteen million lines,
// and neither the text nor a promise for each line has to be held. Decides where a line ends and how long one
// may be.

import { FleetError, toFleetError } from '../../errors.ts';
import { ANYWHERE, openRegular } from '../../system/file-access.ts';
import { excerpt } from '../../text/printable.ts';

/**
 * Characters of a line; far more than any benchmark has, so that a file without line ends is refused early.
 */
const LINE_CHARS_MAX = 1 << 20;

/** Batches of lines without their ends; empty lines are passed over. */
export async function* lineBatches(path: string): AsyncGenerator<readonly string[]> {
  let rest = '';
  try {
    const { file } = await openRegular(path, { roots: ANYWHERE, what: 'list' });
    // The stream closes the file when it ends or is left.
    for await (const chunk of file.createReadStream({ encoding: 'utf8', highWaterMark: 1 << 20 })) {
      if (rest.length > LINE_CHARS_MAX)
        throw new FleetError(
          'invalidArgument',
          `${path} is no list: a line has more than ${LINE_CHARS_MAX} characters`,
        );
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      yield cleaned(lines);
    }
  } catch (caught) {
    throw caught instanceof FleetError ? caught : toFleetError(caught, path);
  }
  yield cleaned([rest]);
}

/** As lineBatches, but every line split at white space into the given number of fields. */
export async function* fieldBatches(path: string, count: number): AsyncGenerator<readonly string[][]> {
  for await (const lines of lineBatches(path))
    yield lines.map((line) => {
      const fields = line.split(/\s+/);
      if (fields.length !== count)
        throw new FleetError(
          'invalidArgument',
          `${path}: a line has ${fields.length} fields, ${count} expected`,
        );
      return fields;
    });
}

/** A field that must be a number. */
export function numberOf(field: string | undefined, path: string): number {
  const value = Number(field);
  if (field === undefined || field === '' || !Number.isFinite(value))
    throw new FleetError(
      'invalidArgument',
      `${path}: "${excerpt(field ?? '', 8)}" where a number is expected`,
    );
  return value;
}

function cleaned(lines: readonly string[]): string[] {
  return lines.map((line) => line.trim()).filter((line) => line !== '');
}
