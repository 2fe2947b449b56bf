// What is wrong in a text that a person wrote, worded the way compilers do: `file:line:column: path: reason`, then
// the line and a mark below the column. Decides that wording, the order of several problems, and how many are shown.
// The problems travel as data in an error's details, because the program that refuses a text often knows neither
// the file that it came from nor what its writer gave beside it.

import stringWidth from 'string-width';
import { z } from 'zod';
import { type Code, FleetError } from '../errors.ts';
import { excerpt, printableLines } from './printable.ts';
import { type Problem, pathText } from './shape.ts';

const problemSchema = z.object({
  /** The field as people write it, `search.space.ops.2`; empty for the whole text. */
  path: z.string(),
  reason: z.string(),
  /** Both from 1; absent where the problem has no place in the text. A column counts UTF-16 units. */
  line: z.int().min(1).optional(),
  column: z.int().min(1).optional(),
  /** The path of the override that gave the value; then the value is not in the text. */
  override: z.string().optional(),
});

/** One thing that is wrong in a text. */
export type TextProblem = Readonly<z.infer<typeof problemSchema>>;

/** Where a value came from. */
export type Origin = Pick<TextProblem, 'line' | 'column' | 'override'>;

/** A problem of a value's shape as one of the text that the value came from. */
export const problemAt = ({ path, text }: Problem, origin: Origin | undefined): TextProblem => ({
  path: path.length === 0 ? '' : pathText(path),
  reason: text,
  ...origin,
});

/** A text as its problems name it. */
export interface TextSource {
  /** File, `stdin`, or the field of a request. */
  readonly name: string;
  /** The text itself, where the faulty line may be shown. */
  readonly text?: string;
  /** The word before an override's path (default `override`). */
  readonly overrides?: string;
}

/** Problems in one error; the others are shown when these are mended. */
const PROBLEMS_MAX = 20;
/** Characters of the problems as JSON: details travel in a header, which holds little. */
const JSON_CHARS_MAX = 3_500;
const REASON_CHARS_MAX = 2_000;

/** How an error of problems may differ: its code (default `invalidArgument`), cause and further details. */
export type ProblemsOptions = ConstructorParameters<typeof FleetError>[2] & { readonly code?: Code };

/** An error with these problems, in the order of the text and those of overrides last. */
export function problemsError(
  problems: readonly TextProblem[],
  source: TextSource,
  { code = 'invalidArgument', details, ...options }: ProblemsOptions = {},
): FleetError {
  const { kept, more } = bounded([...problems].sort(byPlace));
  return new FleetError(code, messageOf(kept, more, source), {
    ...options,
    details: { ...details, file: source.name, problems: kept, ...(more > 0 && { more }) },
  });
}

/** The problems that an error carries, also one from another program; none where it is of another kind. */
export function problemsIn({ details }: FleetError): readonly TextProblem[] {
  const parsed = z.array(problemSchema).safeParse(details.problems);
  return parsed.success ? parsed.data : [];
}

/** How many more problems there are than the error carries. */
const moreIn = ({ details }: FleetError): number => (typeof details.more === 'number' ? details.more : 0);

/**
 * The same problems, named by their file: `details.file` is its name. An error without problems gets the name in
 * front of its message.
 */
export function namedProblems(error: FleetError, source: TextSource): FleetError {
  const problems = problemsIn(error);
  const message =
    problems.length > 0
      ? messageOf(problems, moreIn(error), source)
      : `${excerpt(source.name, 300)}: ${error.message}`;
  return new FleetError(error.code, message, {
    cause: error,
    details: { ...error.details, ...(problems.length > 0 && { file: source.name }) },
  });
}

/** One problem in one line, without the text's line. */
export function problemText(problem: TextProblem, source: TextSource): string {
  const { path, reason, line, column, override } = problem;
  if (override !== undefined) {
    const giver = `${source.overrides ?? 'override'} ${excerpt(override, 200)}`;
    return `${giver}: ${path === '' || path === override ? '' : `${path}: `}${reason}`;
  }
  const place = line === undefined ? '' : `:${line}${column === undefined ? '' : `:${column}`}`;
  return `${excerpt(source.name, 300)}${place}: ${path === '' ? '' : `${path}: `}${reason}`;
}

function messageOf(problems: readonly TextProblem[], more: number, source: TextSource): string {
  const lines = problems.flatMap((problem, i) => {
    const next = problems[i + 1];
    const isLastThere =
      problem.override === undefined && (next?.line !== problem.line || next?.column !== problem.column);
    const shown = isLastThere ? markedLine(source.text, problem) : undefined;
    return [problemText(problem, source), ...(shown === undefined ? [] : [shown])];
  });
  return [...lines, ...(more > 0 ? [`and ${more} more, shown when these are mended`] : [])].join('\n');
}

function byPlace(a: TextProblem, b: TextProblem): number {
  const line = ({ line, override }: TextProblem) => (override === undefined ? (line ?? 0) : Infinity);
  const [first, second] = [line(a), line(b)];
  return first === second ? (a.column ?? 0) - (b.column ?? 0) : first - second;
}

function bounded(problems: readonly TextProblem[]): { kept: TextProblem[]; more: number } {
  const kept: TextProblem[] = [];
  let chars = 0;
  for (const problem of problems) {
    const path = excerpt(problem.path, 200);
    const reason = printableLines(problem.reason.slice(0, REASON_CHARS_MAX));
    const short = { ...problem, path, reason };
    chars += JSON.stringify(short).length + 1;
    if (kept.length === PROBLEMS_MAX || (kept.length > 0 && chars > JSON_CHARS_MAX)) break;
    kept.push(short);
  }
  return { kept, more: problems.length - kept.length };
}

/** Longer lines are cut before anything looks for the place in them. */
const LINE_MAX = 1 << 16;
const EXCERPT_BEFORE = 60;
const EXCERPT_AFTER = 60;

/** Of a long line only the part around the mark is shown, or the mark would be out of sight. */
function markedLine(text: string | undefined, { line, column }: TextProblem): string | undefined {
  if (text === undefined || line === undefined || column === undefined) return undefined;
  const found = text.split('\n', line)[line - 1];
  if (found === undefined) return undefined;
  const whole = found.slice(0, LINE_MAX).replace(/\r$/, '');
  const from = Math.max(0, column - 1 - EXCERPT_BEFORE);
  const before = excerpt(whole.slice(from, column - 1), EXCERPT_BEFORE + 1);
  const after = excerpt(whole.slice(column - 1), EXCERPT_AFTER);
  return `  ${before}${after}\n  ${' '.repeat(stringWidth(before))}^`;
}
