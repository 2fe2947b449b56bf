// Whether a value has the shape of a schema, and what is wrong with it as sentences for a person: the field,
// what was expected, what was found, and the nearest name. Decides wording; zod's own messages are never
// shown. Where no alternative of a union fits, the writer most likely meant the one whose first fault lies
// deepest inside.

import type { z } from 'zod';
import { FleetError } from '../errors.ts';
import { nearest } from './nearest.ts';
import { excerpt, foundText } from './printable.ts';

/** One thing that is wrong with a value. */
export interface Problem {
  /** The path of the faulty value, or of the missing field. */
  readonly path: readonly PropertyKey[];
  /** True where the key is wrong and not its value. */
  readonly ofKey: boolean;
  /** What is wrong, without the path. */
  readonly text: string;
}

/** A value in its shape, or what is wrong with it. */
export type Shaped<T> =
  | { readonly ok: true; readonly data: T }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** Problems in one message; the next ones are shown when these are mended. */
const PROBLEMS_MAX = 20;

/** Checks a value. `hidden` are paths of secrets, whose values are never shown. */
export function checkShape<S extends z.ZodType>(
  schema: S,
  value: unknown,
  hidden: (path: Path) => boolean = () => false,
): Shaped<z.infer<S>> {
  const known: Known = new WeakMap();
  const whole = new WeakSet<Path>();
  const result = schema.safeParse(value, {
    error: (issue) => {
      if (issue.code === 'unrecognized_keys' && issue.inst)
        known.set(issue.keys, shapeOf(issue.inst as z.core.$ZodType));
      if (issue.code === 'invalid_type' && issue.path && isWhole(issue.inst)) whole.add(issue.path);
      // An empty message marks the problems without words of the schema's own: those are worded below, where
      // the whole path is known.
      return '';
    },
  });
  if (result.success) return { ok: true, data: result.data };
  const context: Context = { root: value, known, whole, hidden };
  const problems = result.error.issues.flatMap((issue) => problemsOf(issue, [], context));
  const distinct = [...new Map(problems.map((found) => [sentence(found), found])).values()];
  return { ok: false, problems: distinct };
}

/** `field.path: what is wrong`. */
export function sentence({ path, text }: Problem): string {
  return `${pathText(path)}: ${text}`;
}

/** All problems as one text, a line each. `told` may add to a sentence the origin of its value. */
export function sentences(
  problems: readonly Problem[],
  told: (problem: Problem) => string = sentence,
): string[] {
  const shown = problems.slice(0, PROBLEMS_MAX).map(told);
  const rest = problems.length - shown.length;
  return rest > 0 ? [...shown, `and ${rest} more`] : shown;
}

/** The value in its shape; throws a FleetError `doing: field: what is wrong; ...` where it has another. */
export function shaped<S extends z.ZodType>(
  schema: S,
  value: unknown,
  doing: string,
  code: 'invalidArgument' | 'dataLoss' | 'failedPrecondition' = 'invalidArgument',
): z.infer<S> {
  const result = checkShape(schema, value);
  if (result.ok) return result.data;
  throw new FleetError(code, `${doing}: ${sentences(result.problems).join('; ')}`);
}

/** The value of a JSON text in its shape. Throws as `shaped`, also for a text that is no JSON. */
export function shapedJson<S extends z.ZodType>(
  schema: S,
  text: string,
  ...[doing, code = 'invalidArgument']: [doing: string, code?: 'invalidArgument' | 'dataLoss']
): z.infer<S> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new FleetError(code, `${doing}: the text is not JSON`, { cause });
  }
  return shaped(schema, value, doing, code);
}

/** A path as people write it, `search.space.ops.2`; the whole value is the `document`. */
export function pathText(path: Path): string {
  return path.length === 0 ? 'document' : excerpt(path.map(String).join('.'), 200);
}

type Issue = z.core.$ZodIssue;
type Path = readonly PropertyKey[];
type Shape = Readonly<Record<string, z.core.$ZodType>>;
type Known = WeakMap<readonly string[], Shape>;

interface Context {
  readonly root: unknown;
  /** The existing fields beside unknown keys, by the list of keys of an issue. */
  readonly known: Known;
  /** Paths of issues of whole numbers, which zod calls numbers as long as the value is none. */
  readonly whole: WeakSet<Path>;
  readonly hidden: (path: Path) => boolean;
}

function problemsOf(issue: Issue, parent: Path, context: Context): Problem[] {
  const path = [...parent, ...issue.path];
  if (issue.code === 'unrecognized_keys') {
    const fields = context.known.get(issue.keys) ?? {};
    return issue.keys.map((key) => ({
      path: [...path, key],
      ofKey: true,
      text: `unknown key${keyHint(key, fields)}`,
    }));
  }
  if (issue.code === 'invalid_union') return unionProblems(issue, path, context);
  const value = valueAt(context.root, path);
  if (issue.message !== '') return [{ path, ofKey: false, text: own(issue.message, value, path, context) }];
  const expected = context.whole.has(issue.path) ? TYPES.int : expectation(issue);
  if (value === undefined && issue.code !== 'custom')
    return [{ path, ofKey: false, text: `is missing (${expected})` }];
  const hint = issue.code === 'invalid_value' ? valueHint(value, issue.values) : '';
  return [{ path, ofKey: false, text: `expected ${expected}, found ${found(value, path, context)}${hint}` }];
}

/** A sentence of the schema's own, with the found value unless the sentence contains it. */
function own(message: string, value: unknown, path: Path, context: Context): string {
  if (value === undefined || (typeof value === 'object' && value !== null)) return message;
  if (context.hidden(path) || message.split(/[\s";,:]+/).includes(String(value))) return message;
  return `${message}; found ${foundText(value)}`;
}

function found(value: unknown, path: Path, context: Context): string {
  return context.hidden(path) ? 'another value' : foundText(value);
}

function unionProblems(
  issue: Extract<Issue, { code: 'invalid_union' }>,
  path: Path,
  context: Context,
): Problem[] {
  if (issue.message !== '') return [{ path, ofKey: false, text: issue.message }];
  if (issue.errors.length === 0) return [kindProblem(issue, path, context)];
  const value = valueAt(context.root, path);
  const deep = (issues: readonly Issue[]) => Math.max(...issues.map((inner) => inner.path.length));
  const deepest = Math.max(...issue.errors.map(deep));
  const meant = issue.errors.find((issues) => deep(issues) === deepest) ?? [];
  // Where a name or a mapping is allowed and a mapping was given, the mapping is meant, even when its top is
  // at fault.
  const mapping = issue.errors.find((issues) => issues.some((inner) => inner.code === 'invalid_union'));
  if (deepest > 0 || mapping !== undefined || issue.errors.some((issues) => issues.some(isCustom)))
    if (typeof value === 'object' && value !== null)
      return (mapping ?? meant).flatMap((inner) => problemsOf(inner, path, context));
  const expected = issue.errors.flatMap((issues) => issues.slice(0, 1).map(expectation));
  const words = issue.errors.flat().flatMap((inner) => (inner.code === 'invalid_value' ? inner.values : []));
  const text = `${alternatives([...new Set(expected)])}`;
  if (value === undefined) return [{ path, ofKey: false, text: `is missing (${text})` }];
  return [
    {
      path,
      ofKey: false,
      text: `expected ${text}, found ${found(value, path, context)}${valueHint(value, words)}`,
    },
  ];
}

const isCustom = (issue: Issue): boolean => issue.code === 'custom';

/** The problem of a value whose `kind` no alternative has, or that is no mapping. */
function kindProblem(
  issue: Extract<Issue, { code: 'invalid_union' }>,
  path: Path,
  context: Context,
): Problem {
  const value = valueAt(context.root, path);
  const key =
    'discriminator' in issue && typeof issue.discriminator === 'string' ? issue.discriminator : 'kind';
  // zod reports either the field or the mapping around it.
  const field = path.at(-1) === key ? path : [...path, key];
  const holder = path.at(-1) === key ? valueAt(context.root, path.slice(0, -1)) : value;
  // A kind that may be left out is an option without a word.
  const options =
    'options' in issue && Array.isArray(issue.options)
      ? issue.options.filter((option) => option !== undefined).map(String)
      : [];
  const known = field.length === 1 && options.length === 0 ? DOCUMENT_KINDS : options;
  if (typeof holder !== 'object' || holder === null || Array.isArray(holder))
    return {
      path: field.slice(0, -1),
      ofKey: false,
      text: `expected a mapping with ${key}${listed(known)}, found ${found(holder, path, context)}`,
    };
  const kind = (holder as Record<string, unknown>)[key];
  const expected = known.length > 0 ? `; one of ${known.join(', ')}` : '';
  return kind === undefined
    ? { path: field, ofKey: false, text: `is missing${expected}` }
    : {
        path: field,
        ofKey: false,
        text: `unknown ${key} ${foundText(kind)}${expected}${valueHint(kind, known)}`,
      };
}

const listed = (words: readonly string[]): string => (words.length > 0 ? ` (${words.join(', ')})` : '');

/** The kinds that a union of unions accepts, which zod does not list. */
const DOCUMENT_KINDS: readonly string[] = ['plan', 'sweep', 'teacher', 'student', 'candidate'];

const TYPES: Readonly<Record<string, string>> = {
  number: 'a number',
  int: 'a whole number',
  string: 'text',
  boolean: 'true or false',
  array: 'a list',
  tuple: 'a list',
  object: 'a mapping',
  record: 'a mapping',
  map: 'a mapping',
  undefined: 'nothing',
  null: 'nothing',
};

/** The words after "expected". */
function expectation(issue: Issue): string {
  if (issue.message !== '') return issue.message;
  switch (issue.code) {
    case 'invalid_type':
      return TYPES[issue.expected] ?? issue.expected;
    case 'too_big':
      return issue.inclusive === false
        ? `less than ${amount(issue, issue.maximum)}`
        : `at most ${amount(issue, issue.maximum)}`;
    case 'too_small':
      return issue.inclusive === false
        ? `more than ${amount(issue, issue.minimum)}`
        : `at least ${amount(issue, issue.minimum)}`;
    case 'not_multiple_of':
      return `a multiple of ${issue.divisor}`;
    case 'invalid_format':
      return issue.pattern === undefined
        ? `text in the form ${issue.format}`
        : `text in the form ${issue.pattern}`;
    case 'invalid_value':
      return issue.values.length === 1
        ? foundText(issue.values[0])
        : `one of ${issue.values.map(String).join(', ')}`;
    case 'invalid_union':
      return 'a mapping';
    default:
      return 'another value';
  }
}

function amount(issue: { readonly origin: string }, count: number | bigint): string {
  const noun = COUNTED[issue.origin];
  return noun === undefined ? String(count) : `${count} ${noun}${Number(count) === 1 ? '' : 's'}`;
}

const COUNTED: Readonly<Record<string, string>> = { string: 'character', array: 'item', file: 'byte' };

const alternatives = (expected: readonly string[]): string => expected.join(', or ');

function valueHint(value: unknown, values: readonly unknown[]): string {
  if (typeof value !== 'string') return '';
  const near = nearest(
    value,
    values.filter((word) => typeof word === 'string'),
  );
  return near === undefined ? '' : `; did you mean ${near}?`;
}

/** Fields that a message lists where no name is near. */
const LISTED_MAX = 16;

function keyHint(key: string, fields: Shape): string {
  const names = Object.keys(fields);
  const near = nearest(key, names);
  if (near !== undefined) return `; did you mean ${near}?`;
  const deeper = pathTo(key, fields, NESTING_MAX);
  if (deeper !== undefined) return `; did you mean ${deeper}?`;
  if (names.length === 0) return '';
  const shown = names.slice(0, LISTED_MAX).join(', ');
  return `; known here: ${shown}${names.length > LISTED_MAX ? ', …' : ''}`;
}

/** Levels below its place at which a misplaced key is looked for. */
const NESTING_MAX = 3;

function pathTo(key: string, fields: Shape, depth: number): string | undefined {
  if (depth === 0) return undefined;
  for (const [name, field] of Object.entries(fields)) {
    const inner = shapeOf(field);
    if (Object.hasOwn(inner, key)) return `${name}.${key}`;
    const below = pathTo(key, inner, depth - 1);
    if (below !== undefined) return `${name}.${below}`;
  }
  return undefined;
}

/** The fields of an object schema, whatever wraps it; for a union of objects, the fields of all of them. */
function shapeOf(schema: z.core.$ZodType): Shape {
  const { def } = (schema as z.core.$ZodTypes)._zod;
  switch (def.type) {
    case 'object':
      return def.shape;
    case 'optional':
    case 'default':
    case 'prefault':
    case 'nullable':
    case 'readonly':
      return shapeOf(def.innerType);
    case 'union':
      return Object.assign({}, ...def.options.map(shapeOf)) as Shape;
    default:
      return {};
  }
}

function isWhole(schema: unknown): boolean {
  const { def } = (schema as z.core.$ZodTypes)._zod;
  return def.type === 'number' && 'check' in def && def.check === 'number_format';
}

function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (at, key) =>
      typeof at === 'object' && at !== null && Object.hasOwn(at, key)
        ? (at as Record<PropertyKey, unknown>)[key]
        : undefined,
    value,
  );
}
