// What decisions look at besides the state: the time, who is on a stream, how far and how fast runs are. Volatile by nature,
// so it is read once for each decision and never journalled; what follows from it is, with its reason.

export interface Observed {
  readonly now: number;
  /** Workers that are on a stream now; others get no new work. */
  readonly connected: ReadonlySet<string>;
  /** Committed steps of a run as last reported; undefined when nobody has reported since this coordinator started. */
  readonly stepOf?: (runId: string) => number | undefined;
  /** Images a second that a worker computes for a run, waits for others left out; undefined before it was measured. */
  readonly speedOf?: (runId: string, workerId: string) => number | undefined;
}
