// YAML and JSON files that a person names on the command line, in the shape that a command wants. Decides how
// a refusal names the file, the field, and the line.

import { resolve } from 'node:path';
import type { z } from 'zod';
import { FleetError, toFleetError } from '../../core/errors.ts';
import { readTextBounded } from '../../core/text/bounded-text.ts';
import { checkShape, sentence, sentences } from '../../core/text/shape.ts';
import { placeText, readYaml, type YamlDocument } from '../../core/text/yaml-text.ts';

/** The file's only document; undefined where it has none. */
async function readYamlFile(path: string): Promise<YamlDocument | undefined> {
  const text = await readTextBounded(path, resolve(path));
  try {
    return readYaml(text)[0];
  } catch (caught) {
    throw toFleetError(caught, resolve(path));
  }
}

/**
 * The value of the file, or of its field `key`, checked against the schema. `noun`: what the file should
 * describe.
 */
export async function shapedYaml<S extends z.ZodType>(
  path: string,
  { key, noun, schemaOf }: { key: string; noun: string; schemaOf: (value: unknown) => S },
): Promise<z.infer<S>> {
  const document = await readYamlFile(path);
  const whole = document?.value;
  const inner =
    typeof whole === 'object' && whole !== null ? (whole as Record<string, unknown>)[key] : undefined;
  const above = inner === undefined ? [] : [key];
  const value = inner ?? whole;
  const result = checkShape(schemaOf(value), value);
  if (result.ok) return result.data;
  const told = sentences(
    result.problems,
    (problem) => sentence(problem) + placeText(document?.placeOf([...above, ...problem.path], problem.ofKey)),
  );
  throw new FleetError('invalidArgument', `${resolve(path)} describes no ${noun}: ${told.join('; ')}`);
}
