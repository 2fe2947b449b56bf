// Loans: what is kept for a gang that waits is lent to runs that can pause, so that it does not lie idle. Decides who
// may have a loan. Who has one is told to pause as soon as the gang can start with what it gives back
// (preemption.ts), but not before the gang has waited for as long as everybody may take what it waits for.

import type { RunState } from '../model/state.ts';
import { isSuspect } from './blame.ts';
import { type Board, PREEMPTED_AGAIN_MS } from './board.ts';

/** A loan that would be shorter is not made: to pause, and to go on elsewhere, takes seconds too. Milliseconds. */
const LOAN_MS_MIN = 10_000;

/** The gang that lends. */
interface Lender {
  readonly run: RunState;
  /** Others give up their workers for it now. */
  readonly isAwaited: boolean;
  /** It gets back what it has lent. */
  readonly isDue: boolean;
  start(): { readonly atMs: number } | undefined;
}

/** Whether a run may have workers that are kept for this gang, until the gang can start. */
export function mayBorrow({ observed }: Board, run: RunState, lender: Lender): boolean {
  const { run: gang, isAwaited, isDue } = lender;
  // Neither needs workers for itself alone, or would be paused for a run that learns from it.
  if (isAwaited || isSuspect(gang, observed) || isSuspect(run, observed)) return false;
  if (gang.teacherRunId === run.id) return false;
  // Whoever has just had to pause is not to go on like this step by step.
  const { preemptedAtMs = Number.NEGATIVE_INFINITY } = run;
  if (observed.now - preemptedAtMs < PREEMPTED_AGAIN_MS) return false;
  if (!isDue) return true;
  const start = lender.start();
  return start === undefined || start.atMs - observed.now >= LOAN_MS_MIN;
}

/** The running runs that have workers on loan of this gang, oldest first. */
export function borrowersOf(board: Board, gang: RunState): RunState[] {
  return [...(board.lent.get(gang.id) ?? [])].sort((a, b) => a - b).map((number) => board.run(number));
}
