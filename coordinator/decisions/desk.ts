// What decisions keep between each other beside the state: the board of placing, the sweeps that have more to
// propose than one slice allowed, and what workers were told to prepare. All of it can be made again from the state.

import type { RunSpec } from '../../core/spec/run.ts';
import { type Board, createBoard } from '../scheduling/board.ts';
import type { Cursor, SearchState } from '../strategies/search.ts';
import type { StrategyState } from '../strategies/strategies.ts';

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
  readonly monotonic: () => number;
  /** The next decision looks at everything that is open, as one that has just taken the lead does. */
  looksAtAll: boolean;
  /** The multi-member gang at which balancing goes on. */
  balancedUpTo: number;
  /** What workers were told to prepare. */
  readonly ahead: Ahead;
}

/** What is remembered between two beats; all of it may be lost. */
export interface Ahead {
  /** Workers that train and were told of nothing since they began, with when they did, milliseconds. */
  readonly waiting: Map<string, number>;
  /** What each worker was told of last. */
  readonly told: Map<string, string>;
  /** Moves that each sweep is about to make, by its number. */
  readonly moves: Map<number, Moves>;
}

/** Moves that a sweep is about to make. */
export interface Moves {
  /** The state of the search that they follow from. */
  readonly from: SearchState<StrategyState>;
  /** Once they are made. */
  after: SearchState<StrategyState>;
  readonly next: Next[];
  isWhole: boolean;
}

/** A run that is likely to be placed soon. */
export interface Next {
  /** The same for the same run. */
  readonly key: string;
  /** For people: the run, or its sweep. */
  readonly of: string;
  readonly spec: RunSpec;
  /** Of its data as submit found them. */
  readonly dataDigest?: string;
}

/** Nobody was told of anything. */
function createAhead(): Ahead {
  return { waiting: new Map(), told: new Map(), moves: new Map() };
}

/** How much may be proposed at once. */
export interface Slice {
  proposals: number;
  /** Draws, whether they become a proposal or not. */
  draws: number;
  /** It ends then, once something has been drawn. */
  untilMs: number;
}

/** Proposals of one slice: some milliseconds. */
const PROPOSALS_MAX = 32;
/** Draws of one slice, at some microseconds each; those of a strategy that learns count several times. */
const DRAWS_MAX = 400;
/**
 * Milliseconds of one slice: the first ones of a process, whose code is not compiled yet, and those of a slow machine
 * are shorter.
 */
const SLICE_MS = 3;

/**
 * A desk for a state that is not known yet. `monotonic`: milliseconds of a clock that never goes back, by which slices
 * end; without one they end by what is proposed alone, in the same places each time.
 */
export function createDesk({ monotonic = () => 0 }: { monotonic?: () => number } = {}): Desk {
  return {
    board: createBoard(),
    proposing: new Map(),
    slice: { proposals: PROPOSALS_MAX, draws: DRAWS_MAX, untilMs: Number.POSITIVE_INFINITY },
    monotonic,
    looksAtAll: false,
    balancedUpTo: 0,
    ahead: createAhead(),
  };
}

/** A new slice begins. */
export function renewSlice({ slice, monotonic }: Desk): void {
  slice.proposals = PROPOSALS_MAX;
  slice.draws = DRAWS_MAX;
  slice.untilMs = monotonic() + SLICE_MS;
}

/** Nothing more is proposed before the caller had its turn. */
export function isUsedUp({ slice, monotonic }: Pick<Desk, 'slice' | 'monotonic'>): boolean {
  const { proposals, draws, untilMs } = slice;
  const isBegun = proposals < PROPOSALS_MAX || draws < DRAWS_MAX;
  return proposals <= 0 || draws <= 0 || (isBegun && monotonic() >= untilMs);
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
