// How benchmarks say what they found: goals with their targets, as lines for people and with --json as the
// last line for programs. Decides only the form.

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

/** `--json` and whole numbers such as `--kills=50`; anything else ends the program with what is known. */
export function optionsOf<K extends string>(
  defaults: Readonly<Record<K, number>>,
): { json: boolean } & Record<K, number> {
  const found: Record<string, number> = { ...defaults };
  let json = false;
  for (const argument of process.argv.slice(2)) {
    const [, key, value] = /^--([a-z]+)=(\d+)$/.exec(argument) ?? [];
    if (argument === '--json') json = true;
    else if (key !== undefined && key in defaults) found[key] = Number(value);
    else {
      const known = Object.keys(defaults).map((name) => `--${name}=N`);
      process.stderr.write(`unknown option ${argument}; known: --json ${known.join(' ')}\n`);
      process.exit(2);
    }
  }
  return { ...(found as Record<K, number>), json };
}

/** Middle value; of an even number the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}
