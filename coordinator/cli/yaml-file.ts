// YAML and JSON files that a person names on the command line, in the shape that a command wants. Decides how
// a refusal names the file, the field, and the line.

import { resolve } from 'node:path';
import type { z } from 'zod';
import { FleetError, toFleetError } from '../../core/errors.ts';
import { type DocumentSpec, documentSchema } from '../../core/spec/document.ts';
import { readTextBounded } from '../../core/text/bounded-text.ts';
import { checkShape, type Problem, sentence, sentences } from '../../core/text/shape.ts';
import { placeText, readYaml, type YamlDocument } from '../../core/text/yaml-text.ts';

/** The file's documents. */
async function readYamlFile(path: string): Promise<YamlDocument[]> {
  const text = await readTextBounded(path, resolve(path));
  try {
    return readYaml(text);
  } catch (caught) {
    throw toFleetError(caught, resolve(path));
  }
}

/** Every document of a file that could be submitted; there is at least one. */
export async function submittable(path: string): Promise<DocumentSpec[]> {
  const documents = await readYamlFile(path);
  if (documents.length === 0)
    throw new FleetError(
      'invalidArgument',
      `${resolve(path)} has no document; it needs a plan, a sweep or a run`,
    );
  return documents.map((document) => {
    const result = checkShape(documentSchema, document.value);
    if (result.ok) return result.data;
    throw new FleetError(
      'invalidArgument',
      `${resolve(path)}: ${toldProblems(result.problems, document, [])}`,
    );
  });
}

/**
 * The value of the file, or of its field `key`, checked against the schema. `noun`: what the file should
 * describe.
 */
export async function shapedYaml<S extends z.ZodType>(
  path: string,
  { key, noun, schemaOf }: { key: string; noun: string; schemaOf: (value: unknown) => S },
): Promise<z.infer<S>> {
  const [document] = await readYamlFile(path);
  const whole = document?.value;
  const inner =
    typeof whole === 'object' && whole !== null ? (whole as Record<string, unknown>)[key] : undefined;
  const above = inner === undefined ? [] : [key];
  const value = inner ?? whole;
  const result = checkShape(schemaOf(value), value);
  if (result.ok) return result.data;
  const told = toldProblems(result.problems, document, above);
  throw new FleetError('invalidArgument', `${resolve(path)} describes no ${noun}: ${told}`);
}

/** Each problem with its place in the file. */
const toldProblems = (
  problems: readonly Problem[],
  document: YamlDocument | undefined,
  above: readonly string[],
): string =>
  sentences(
    problems,
    (problem) => sentence(problem) + placeText(document?.placeOf([...above, ...problem.path], problem.ofKey)),
  ).join('; ');
