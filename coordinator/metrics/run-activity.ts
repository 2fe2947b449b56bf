// When running runs last got further, as far as scrapes see it: a run that holds workers and makes no step is
// found by this, also when its workers cannot be scraped any more. Goes by the coordinator's clock alone.

/** How far a run is. */
export interface Reached {
  readonly generation: number;
  readonly step: number;
  /** Steps of the open round. */
  readonly openRoundSteps: number;
}

/** The runs of one coordinator as scrapes have seen them. */
export interface RunActivity {
  /** When the run last got further, milliseconds since the epoch. */
  seen(runId: string, reached: Reached, nowMs: number): number;
  /** Forgets all runs but these. */
  keepOnly(runIds: ReadonlySet<string>): void;
}

/** Nothing was seen yet. */
export function createRunActivity(): RunActivity {
  const seen = new Map<string, { readonly at: string; readonly sinceMs: number }>();
  return {
    seen(runId, { generation, step, openRoundSteps }, nowMs) {
      const at = `${generation} ${step} ${openRoundSteps}`;
      const before = seen.get(runId);
      if (before?.at === at) return before.sinceMs;
      seen.set(runId, { at, sinceMs: nowMs });
      return nowMs;
    },
    keepOnly(runIds) {
      for (const id of [...seen.keys()]) if (!runIds.has(id)) seen.delete(id);
    },
  };
}
