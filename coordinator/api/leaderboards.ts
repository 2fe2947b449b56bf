// The order of each sweep's finished trials, kept from one question to the next: a leaderboard that is asked
// for again costs as much as what has changed since. The first question about a long sweep sorts it in slices,
// so that decisions are not held up.

import { setImmediate } from 'node:timers/promises';
import { bestTrialFirst } from '../model/leaderboard.ts';
import { allNumbers } from '../model/roll.ts';
import { type State, type SweepState, sweepOf, type TrialState } from '../model/state.ts';
import { changesBetween, rowAt, type Table } from '../model/table.ts';

/** The orders of the sweeps that were asked for last. */
export interface Leaderboards {
  /** The trials of a sweep that are done in this state, best first; for the caller to read at once. */
  of(state: State, sweepId: string): Promise<readonly TrialState[]>;
}

/** Sweeps whose order is kept. */
const KEPT_MAX = 8;
/** Trials that are read, sorted or merged in one turn: some milliseconds. */
const SLICE = 2_000;

type Compare = (a: TrialState, b: TrialState) => number;

/** An order, and the table of trials that it is the order of. */
interface Board {
  table: Table<TrialState>;
  readonly trials: TrialState[];
}

/** No order is known yet. */
export function createLeaderboards(): Leaderboards {
  /** By sweep; the one asked for last stands last. */
  const boards = new Map<string, Promise<Board>>();
  return {
    async of(state, sweepId) {
      const sweep = sweepOf(state, sweepId);
      const compare = bestTrialFirst(sweep);
      const asked = boards.get(sweepId) ?? boardOf(state, sweep, compare);
      boards.delete(sweepId);
      boards.set(sweepId, asked);
      const [oldest] = boards.keys();
      if (boards.size > KEPT_MAX && oldest !== undefined) boards.delete(oldest);
      const board = await asked;
      if (bringUp(board, state.trials, { sweepId, compare })) return board.trials;
      const again = boardOf(state, sweep, compare);
      boards.set(sweepId, again);
      return (await again).trials;
    },
  };
}

/** Moves an order to another table; false, and nothing is moved, when so much has changed that sorting is quicker. */
function bringUp(
  board: Board,
  table: Table<TrialState>,
  { sweepId, compare }: { readonly sweepId: string; readonly compare: Compare },
): boolean {
  const { trials } = board;
  const counts = (trial: TrialState | undefined): trial is TrialState =>
    trial !== undefined && trial.sweepId === sweepId && trial.state === 'done';
  const moves: (readonly [TrialState | undefined, TrialState | undefined])[] = [];
  for (const [, before, after] of changesBetween(board.table, table)) {
    const move = [counts(before) ? before : undefined, counts(after) ? after : undefined] as const;
    if (move[0] === undefined && move[1] === undefined) continue;
    if (moves.push(move) > SLICE) return false;
  }
  for (const [before, after] of moves) {
    if (before !== undefined) trials.splice(placeOf(trials, before, compare), 1);
    if (after !== undefined) trials.splice(placeOf(trials, after, compare), 0, after);
  }
  board.table = table;
  return true;
}

/** The first place behind a trial, which may be in the order or not. */
export function placeAfter(trials: readonly TrialState[], trial: TrialState, compare: Compare): number {
  const place = placeOf(trials, trial, compare);
  const there = trials[place];
  return there !== undefined && compare(there, trial) === 0 ? place + 1 : place;
}

/** Where a trial stands or would stand. */
function placeOf(trials: readonly TrialState[], trial: TrialState, compare: Compare): number {
  let [low, high] = [0, trials.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compare(trials[middle]!, trial) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

async function boardOf(state: State, { trialIds }: SweepState, compare: Compare): Promise<Board> {
  let runs: TrialState[][] = [];
  let slice: TrialState[] = [];
  const endSlice = async () => {
    runs.push(slice.sort(compare));
    slice = [];
    await setImmediate();
  };
  let looked = 0;
  for (const number of allNumbers(trialIds)) {
    const trial = rowAt(state.trials, number);
    if (trial?.state === 'done') slice.push(trial);
    looked += 1;
    if (looked % SLICE === 0) await endSlice();
  }
  runs.push(slice.sort(compare));
  while (runs.length > 1) {
    const merged: TrialState[][] = [];
    for (let at = 0; at < runs.length; at += 2)
      merged.push(await mergedRuns(runs[at]!, runs[at + 1] ?? [], compare));
    runs = merged;
  }
  return { table: state.trials, trials: runs[0] ?? [] };
}

/** Two sorted lists as one. */
async function mergedRuns(a: TrialState[], b: TrialState[], compare: Compare): Promise<TrialState[]> {
  if (b.length === 0) return a;
  const merged: TrialState[] = [];
  let [atA, atB] = [0, 0];
  while (atA < a.length || atB < b.length) {
    const isFromA = atB >= b.length || (atA < a.length && compare(a[atA]!, b[atB]!) < 0);
    merged.push(isFromA ? a[atA++]! : b[atB++]!);
    if (merged.length % SLICE === 0) await setImmediate();
  }
  return merged;
}
