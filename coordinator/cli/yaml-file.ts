// YAML and JSON files that a person names on the command line, in the shape that a command wants. Decides how
// a refusal names the file.

import { resolve } from 'node:path';
import type { z } from 'zod';
import { advised, toFleetError } from '../../core/errors.ts';
import { type DocumentSpec, documentOf, documentSchema } from '../../core/spec/document.ts';
import { readTextBounded } from '../../core/text/bounded-text.ts';
import { checkShape, type Problem } from '../../core/text/shape.ts';
import { namedProblems, problemAt, problemsError, type TextSource } from '../../core/text/text-problems.ts';
import { readYaml, type YamlDocument } from '../../core/text/yaml-text.ts';

/** The text of a plan, a sweep or runs; `-` is stdin. */
export async function submittableText(path: string): Promise<string> {
  if (path === '-') return readTextBounded(process.stdin, 'stdin');
  try {
    return await readTextBounded(path, resolve(path));
  } catch (caught) {
    const error = toFleetError(caught);
    if (error.code === 'invalidArgument') throw error;
    throw advised(error, 'name a YAML file, e.g. examples/demo.yaml');
  }
}

/** Uses the documents of a text; a refusal by `use` or by the reader shows its lines. */
function withYaml<T>(
  source: TextSource & { readonly text: string },
  use: (documents: YamlDocument[]) => T,
): T {
  try {
    return use(readYaml(source.text, source));
  } catch (caught) {
    throw namedProblems(toFleetError(caught), source);
  }
}

/** Every document of a file that could be submitted; there is at least one. */
export async function submittable(path: string): Promise<DocumentSpec[]> {
  const source = { name: path, text: await submittableText(path) };
  return withYaml(source, (documents) => {
    if (documents.length === 0) throw emptyText('a plan, a sweep or a run', source);
    const specs: DocumentSpec[] = [];
    const problems = documents.flatMap((document) => {
      const result = checkShape(documentSchema, document.value);
      if (result.ok) specs.push(documentOf(result.data));
      return result.ok ? [] : placed(result.problems, document, []);
    });
    if (problems.length > 0) throw problemsError(problems, source);
    return specs;
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
  const source = { name: path, text: await readTextBounded(path, resolve(path)) };
  return withYaml(source, ([document]) => {
    if (document === undefined) throw emptyText(`a ${noun}`, source);
    const whole = document.value;
    const inner =
      typeof whole === 'object' && whole !== null ? (whole as Record<string, unknown>)[key] : undefined;
    const value = inner ?? whole;
    const result = checkShape(schemaOf(value), value);
    if (result.ok) return result.data;
    throw problemsError(placed(result.problems, document, inner === undefined ? [] : [key]), source);
  });
}

const emptyText = (needed: string, source: TextSource) =>
  problemsError(
    [{ path: '', reason: `the text has no document; it needs ${needed}`, line: 1, column: 1 }],
    source,
  );

/** Each problem with its place in the file; `above` is the way to the value that was checked. */
const placed = (problems: readonly Problem[], document: YamlDocument, above: readonly string[]) =>
  problems.map((problem) => {
    const path = [...above, ...problem.path];
    return problemAt({ ...problem, path }, document.placeOf(path, problem.ofKey));
  });
