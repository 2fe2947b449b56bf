// What the thread that decodes is told, and what it reports.

/** Which cases are run. */
export interface Order {
  readonly seed: number;
  /** Three doubles: index of the target, number of the case, when it began (milliseconds since the epoch). */
  readonly watch: SharedArrayBuffer;
  /** Names of targets; empty: all. */
  readonly only: readonly string[];
  /** The first target by its index, and its first case. */
  readonly from: { readonly target: number; readonly number: number };
  /** Time for each target, milliseconds; undefined: the number of cases that the target names. */
  readonly msEach?: number | undefined;
  /** This case of each target alone. */
  readonly single?: number | undefined;
}

/** A case that is wrong. */
export interface Found {
  readonly kind: 'found';
  readonly target: string;
  readonly number: number;
  readonly fault: string;
}

/** A target is through. */
export interface Done {
  readonly kind: 'done';
  readonly target: string;
  readonly cases: number;
  /** Cases in which the decoder gave a value. */
  readonly valid: number;
  /** The case that took longest, and how long. */
  readonly slowest: number;
  readonly slowestMs: number;
  readonly takenMax: number;
  readonly milliseconds: number;
}
