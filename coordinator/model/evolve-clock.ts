// What time that passed on the clock alone does: shares, quotas and budgets go on where they were.

import { skipTime, unstoredAt } from './accounts.ts';
import type { EventOf } from './events.ts';
import { changeRun, changeSweep, type Working } from './folding.ts';
import { skipped } from './spent.ts';
import { hasGang, openRuns, sweepOf } from './state.ts';
import { rowsOf } from './table.ts';

/** A stretch of time up to this event has passed for nobody. */
export function clockJumped(w: Working, { ms, atMs: nowMs }: EventOf<'clock.jumped'>): void {
  const fromMs = nowMs - ms;
  skipTime(w, fromMs);
  for (const run of openRuns(w)) {
    const { id, spent } = run;
    if (spent !== undefined) changeRun(w, id, { spent: skipped(spent, { fromMs, nowMs }) });
    // What is lost with the gang later is what it has computed.
    if (hasGang(run)) changeRun(w, id, { unstoredMs: unstoredAt(run, fromMs), changedAtMs: nowMs });
  }
  for (const [number] of [...rowsOf(w.openSweeps)]) {
    const { id, spent } = sweepOf(w, `sweep-${number}`);
    if (spent !== undefined) changeSweep(w, id, { spent: skipped(spent, { fromMs, nowMs }) });
  }
}
