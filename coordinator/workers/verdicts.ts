// Verdicts on workers on their way to the journal. Decides that a verdict which is under way is not submitted
// again: every worker whose stream ends is a reason to judge all of them, so that a thousand that leave at
// once, or a few while the journal waits for room, would queue the same verdicts many times over.

import type { Input } from '../decisions/inputs.ts';

/** What was found out about a worker: by its silence, by the complaints of its gang, or by its pod. */
export type Verdict = Extract<Input, { kind: 'lost' | 'leaving' | 'staying' }>;

/** The verdicts that are under way. */
export interface Verdicts {
  /**
   * Submits each verdict that is not under way yet; one that was refused is submitted when it is found again.
   */
  submitNew(verdicts: Iterable<Verdict>): void;
}

/** Submits verdicts with this function, each once at a time. */
export function createVerdicts(submit: (verdict: Verdict) => Promise<unknown>): Verdicts {
  const underWay = new Set<string>();
  return {
    submitNew(verdicts) {
      for (const verdict of verdicts) {
        const key = JSON.stringify([verdict.kind, verdict.workerId, verdict.incarnation]);
        if (underWay.has(key)) continue;
        underWay.add(key);
        const done = () => void underWay.delete(key);
        submit(verdict).then(done, done);
      }
    },
  };
}
