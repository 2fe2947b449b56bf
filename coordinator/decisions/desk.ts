// What decisions keep between each other beside the state: the board of placing, and the sweeps that have
// more to propose than one slice allowed. All of it can be made again from the state.

import { type Board, createBoard } from '../scheduling/board.ts';
import type { Cursor } from '../strategies/search.ts';

/** Kept by the one who decides, from decision to decision. */
export interface Desk {
  board: Board;
  /**
   * Sweeps whose next proposals were put off, by number, each with how far its search has looked since its
   * last move. It looks in the same order again after a restart.
   */
  readonly proposing: Map<number, Cursor>;
  /** What may still be proposed before the caller gets its turn. */
  readonly slice: Slice;
  /** The next decision looks at everything that is open, as one that has just taken the lead does. */
  looksAtAll: boolean;
  /** The multi-member gang at which balancing goes on. */
  balancedUpTo: number;
}

/** How much may be proposed at once. */
export interface Slice {
  proposals: number;
  /** Draws, whether they become a proposal or not. */
  draws: number;
}

/** Proposals of one slice: some milliseconds. */
const PROPOSALS_MAX = 32;
/** Draws of one slice, at some microseconds each; those of a strategy that learns count several times. */
const DRAWS_MAX = 400;

/** A desk for a state that is not known yet. */
export function createDesk(): Desk {
  const slice = { proposals: PROPOSALS_MAX, draws: DRAWS_MAX };
  return { board: createBoard(), proposing: new Map(), slice, looksAtAll: false, balancedUpTo: 0 };
}

/** A new slice begins. */
export function renewSlice({ slice }: Desk): void {
  slice.proposals = PROPOSALS_MAX;
  slice.draws = DRAWS_MAX;
}

/** What was decided last did not take place: how far strategies have looked is not true any more. */
export function dropUndecided(desk: Desk): void {
  desk.proposing.clear();
  desk.looksAtAll = true;
}

/** A decision has failed by a mistake of this program: whatever it left half done is made again. */
export function clearDesk(desk: Desk): void {
  desk.board = createBoard();
  dropUndecided(desk);
}
