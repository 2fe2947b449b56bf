// What a schema found wrong, as `field.path: reason` sentences for a person. Decides wording only, and which alternative of
// a union the writer most likely meant: the one that is wrong deepest inside.

import type { z } from 'zod';

type Issue = z.core.$ZodIssue;
type Path = readonly PropertyKey[];

export function issueSentences(error: z.ZodError, value: unknown): string[] {
  const sentences = error.issues.flatMap((issue) => sentencesOf(issue, [], value));
  return [...new Set(sentences)];
}

function sentencesOf(issue: Issue, parent: Path, value: unknown): string[] {
  const path = [...parent, ...issue.path];
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => `${pathText([...path, key])}: unknown key`);
  if (issue.code === 'invalid_union' && issue.errors.length > 0) return unionSentences(issue, path, value);
  if (issue.code === 'invalid_union') return [kindSentence(issue, path, value)];
  if (issue.code === 'invalid_type' && valueAt(value, path) === undefined)
    return [`${pathText(path)}: is missing (${issue.expected})`];
  return [`${pathText(path)}: ${issue.message}`];
}

function unionSentences(
  issue: Extract<Issue, { code: 'invalid_union' }>,
  path: Path,
  value: unknown,
): string[] {
  const depth = (issues: readonly Issue[]) => Math.max(...issues.map((inner) => inner.path.length));
  const [meant] = [...issue.errors].sort((a, b) => depth(b) - depth(a));
  return (meant ?? []).flatMap((inner) => sentencesOf(inner, path, value));
}

/** No alternative has this `kind`. */
function kindSentence(
  issue: Issue & { discriminator?: string | undefined },
  path: Path,
  value: unknown,
): string {
  const key = issue.discriminator ?? 'kind';
  const field = path.at(-1) === key ? path : [...path, key];
  const found = valueAt(value, field);
  const options = 'options' in issue && Array.isArray(issue.options) ? issue.options.map(String) : [];
  const known = path.length === 0 ? ['plan', 'sweep', 'teacher', 'student', 'candidate'] : options;
  const expected = known.length > 0 ? `; one of ${known.join(', ')}` : '';
  return found === undefined
    ? `${pathText(field)}: is missing${expected}`
    : `${pathText(field)}: unknown ${key} ${JSON.stringify(found)}${expected}`;
}

function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (at, key) =>
      typeof at === 'object' && at !== null ? (at as Record<PropertyKey, unknown>)[key] : undefined,
    value,
  );
}

function pathText(path: Path): string {
  return path.length === 0 ? 'document' : path.map(String).join('.');
}
