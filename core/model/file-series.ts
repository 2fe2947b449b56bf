// The files of a series in the order of its stages, by their names alone. Decides which number a name has, and
// that a series without a gap is evenly spaced: a file that is missing in between is named, because every stage
// after it would be taken for the one before.

import { FleetError } from '../errors.ts';

const refuse = (why: string) => new FleetError('invalidArgument', why);

/** A pattern as its folder, empty for the one that it is read from, and what stands before and after the `*`. */
export interface SeriesPattern {
  readonly folder: string;
  readonly before: string;
  readonly after: string;
}

/** Takes a pattern apart; undefined where it has no `*`, and so names one file. */
export function seriesPattern(pattern: string): SeriesPattern | undefined {
  if (!pattern.includes('*')) return undefined;
  const slash = pattern.lastIndexOf('/');
  const [folder, name] = [pattern.slice(0, Math.max(0, slash)), pattern.slice(slash + 1)];
  const [before = '', after = '', ...more] = name.split('*');
  if (folder.includes('*') || more.length > 0)
    throw refuse(`${pattern} has a * that is not the only one of the file's name, in place of its number`);
  return { folder: slash === 0 ? '/' : folder, before, after };
}

/** The names that a pattern means, by rising number. Throws which of the series is missing or has no number. */
export function seriesOf(
  pattern: string,
  { before, after }: SeriesPattern,
  names: readonly string[],
): string[] {
  const found = names.filter(
    (name) => name.length > before.length + after.length && name.startsWith(before) && name.endsWith(after),
  );
  if (found.length === 0) throw refuse(`${pattern} names no file`);
  const files = found.map((name) => {
    const file = numbered(name, before.length, name.length - after.length);
    if (file !== undefined) return file;
    throw refuse(`${name} has no number in place of the * of ${pattern}; give the files as a list`);
  });
  files.sort((a, b) => a.number - b.number);
  assertOneOrder(files);
  assertWhole(pattern, files);
  return files.map(({ name }) => name);
}

interface Numbered {
  readonly name: string;
  readonly number: number;
  /** The digits of the number, and where they begin in the name. */
  readonly digits: string;
  readonly at: number;
}

/** The last number between two places of a name; digits before it may name a part of the series. */
function numbered(name: string, from: number, to: number): Numbered | undefined {
  const found = /(\d+)\D*$/.exec(name.slice(from, to));
  const digits = found?.[1];
  if (found === null || digits === undefined) return undefined;
  const number = Number(digits);
  if (!Number.isSafeInteger(number))
    throw refuse(`the number ${digits} of ${name} is too large to be ordered by; give the files as a list`);
  return { name, number, digits, at: from + found.index };
}

/** Numbers before the last one may name a part of the series, and then rise with it or stay. */
function assertOneOrder(files: readonly Numbered[]): void {
  for (const [i, { name, at }] of files.entries()) {
    const before = files[i - 1];
    if (before === undefined) continue;
    const [last, next] = [numbersIn(before.name.slice(0, before.at)), numbersIn(name.slice(0, at))];
    if (last.some((number, place) => number > (next[place] ?? number)))
      throw refuse(
        `${before.name} and ${name} have several numbers, which order them differently; give the files as a list`,
      );
  }
}

const numbersIn = (text: string): number[] => (text.match(/\d+/g) ?? []).map(Number);

/** Files of a gap that are named one by one. */
const NAMED_MAX = 5;

/** A series begins with its step, or with 0, and goes on by it. */
function assertWhole(pattern: string, files: readonly Numbered[]): void {
  const [first] = files;
  if (first === undefined || files.length === 1) return;
  const gaps = files.slice(1).map(({ number }, i) => number - files[i]!.number);
  const same = gaps.indexOf(0);
  if (same !== -1)
    throw refuse(
      `${files[same]!.name} and ${files[same + 1]!.name} have one number; give the files as a list`,
    );
  const step = Math.min(...gaps);
  const uneven = gaps.findIndex((gap) => gap % step !== 0);
  if (uneven !== -1)
    throw refuse(
      `the numbers of ${pattern} are not evenly spaced: ${files[uneven]!.name} and ${files[uneven + 1]!.name} lie ${gaps[uneven]} apart, others ${step}; give the files as a list`,
    );
  const start = first.number % step === 0 && first.number > 0 ? step : first.number;
  const known = new Set(files.map(({ number }) => number));
  const missing: number[] = [];
  for (let number = start; number < files.at(-1)!.number && missing.length <= NAMED_MAX; number += step)
    if (!known.has(number)) missing.push(number);
  if (missing.length === 0) return;
  const names = missing.slice(0, NAMED_MAX).map((number) => nameWith(first, number));
  throw refuse(
    `${names.join(', ')}${missing.length > NAMED_MAX ? ' and more' : ''} ${names.length === 1 ? 'is' : 'are'} missing in the series of ${pattern}, whose numbers lie ${step} apart; give the files as a list where that is meant`,
  );
}

/** The name of a file of the series with another number, of as many digits where they begin with zeros. */
function nameWith({ name, digits, at }: Numbered, other: number): string {
  const text = digits.startsWith('0') ? String(other).padStart(digits.length, '0') : String(other);
  return name.slice(0, at) + text + name.slice(at + digits.length);
}
