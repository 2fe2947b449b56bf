// The results of benchmarks: goals with their targets, as lines for people and with --json as the
// last line for programs. Decides only the form.

import { type ParseArgsConfig, parseArgs } from 'node:util';

export interface Goal {
  readonly name: string;
  readonly value: number;
  readonly target: number;
  readonly unit: string;
  /** What the value must be of the target. */
  readonly bound: 'at most' | 'at least';
  readonly holds: boolean;
}

/** A goal that holds while the value is at most the target. */
export function atMost(name: string, value: number, target: number, unit: string): Goal {
  return { name, value, target, unit, bound: 'at most', holds: value <= target };
}

/** A goal that holds while the value is at least the target. */
export function atLeast(name: string, value: number, target: number, unit: string): Goal {
  return { name, value, target, unit, bound: 'at least', holds: value >= target };
}

export const say = (line: string): void => void process.stdout.write(`${line}\n`);

export function tell(goals: readonly Goal[], rows: unknown, json: boolean): void {
  for (const { name, value, target, unit, bound, holds } of goals)
    say(
      `${holds ? 'holds' : 'MISSED'}: ${name}: ${value.toFixed(3)} ${unit}, goal ${bound} ${target} ${unit}`,
    );
  if (json) say(JSON.stringify({ goals, rows }));
}

/** The values of the command line. An unknown option ends the program with the list of those that exist. */
export function argumentsOf<T extends ParseArgsConfig>(config: T, known: string) {
  try {
    return parseArgs(config);
  } catch (caught) {
    return refuse(caught instanceof Error ? caught.message : String(caught), known);
  }
}

/** Ends the program as one that was started with wrong arguments. */
export function refuse(reason: string, known: string): never {
  process.stderr.write(`${reason}; known: ${known}\n`);
  process.exit(2);
}

/**
 * `--json` and whole numbers such as `--kills=50`; anything else ends the program with the list of options.
 */
export function optionsOf<K extends string>(
  defaults: Readonly<Record<K, number>>,
): { json: boolean } & Record<K, number> {
  const names = Object.keys(defaults) as K[];
  const known = ['--json', ...names.map((name) => `--${name}=N`)].join(' ');
  const numbers = Object.fromEntries(names.map((name) => [name, { type: 'string' as const }]));
  const { values } = argumentsOf({ options: { json: { type: 'boolean' }, ...numbers } }, known);
  const given = values as Readonly<Record<string, string | boolean | undefined>>;
  const found = names.map((name) => {
    const text = given[name] ?? String(defaults[name]);
    if (!/^\d+$/.test(String(text))) refuse(`--${name} is "${text}" and no whole number`, known);
    return [name, Number(text)];
  });
  return { ...(Object.fromEntries(found) as Record<K, number>), json: given.json === true };
}

/** Middle value; of an even number the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}
