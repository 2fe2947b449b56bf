// Lines of a text file as they are read, in batches: metadata of benchmarks has up to sixteen million lines, and neither the
// text nor a promise for each line has to be held. What a line means is the caller's.

import { createReadStream } from 'node:fs';
import { FleetError, toFleetError } from '../errors.ts';

/** Batches of lines without their ends; empty lines are passed over. */
export async function* lineBatches(path: string): AsyncGenerator<readonly string[]> {
  let rest = '';
  try {
    for await (const chunk of createReadStream(path, { encoding: 'utf8', highWaterMark: 1 << 20 })) {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      yield cleaned(lines);
    }
  } catch (caught) {
    throw toFleetError(caught, path);
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
          `${path}: line ${JSON.stringify(line.slice(0, 80))} has ${fields.length} fields, ${count} expected`,
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
      `${path}: ${JSON.stringify(field ?? '')} where a number is expected`,
    );
  return value;
}

function cleaned(lines: readonly string[]): string[] {
  return lines.map((line) => line.trim()).filter((line) => line !== '');
}
