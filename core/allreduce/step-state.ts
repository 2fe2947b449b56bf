// What a member knows of one step's sum, and what follows from it. The state is plain and mutable, because
// one serves all steps and the path of a chunk must not allocate; the rules are functions of it without
// effects.
//
// Phases of a step at one member:
//
//   waiting ── this member's own vectors are there ──► open ── the last chunk is here ──► complete
//      contributions are kept, because a faster           contributions and results        only own results are
//      member may send them first; no result can          are taken, sent, asked for       given to whoever asks
//      exist without this member's contribution
//
// The window: chunk c of an owner is contributed only when chunk c - window of that owner has come back
// finished, so at most `window` chunks for each owner are under way, which bounds what the broker must hold
// for a slow receiver. It cannot deadlock: members contribute in chunk order, so the lowest unfinished chunk
// of an owner is inside everybody's window, every member sends its part of it, and the owner can finish it.

import type { Header } from './message.ts';
import { NO_DIGEST } from './message.ts';
import type { Chunk, Plan } from './plan.ts';
import type { Encoding } from './reduce.ts';
import { type Request, resultWord } from './request-words.ts';

export type Phase = 'waiting' | 'open' | 'complete';

/** What is known in this step of one member as the owner of its slices. */
export interface OwnerState {
  readonly rank: number;
  /** Chunks of its slices, in order. */
  readonly chunks: readonly Chunk[];
  /** By chunk: whether its finished sum is here. */
  readonly results: boolean[];
  /** The results of all chunks before this one are here. */
  resultsBefore: number;
  /** This member has contributed to all chunks before this one. */
  sent: number;
  /**
   * Digest of the weights at the start of the step that its contributions carried; undefined before the first
   * of them.
   */
  digest: string | undefined;
}

export interface StepState {
  readonly compression: Encoding;
  /** Chunks that may be under way to one owner. */
  readonly window: number;
  /** By rank; this member has an entry too, of which only `chunks` is used. */
  readonly owners: readonly OwnerState[];
  /** -1 before the first. */
  step: number;
  phase: Phase;
  /** Digest of this member's weights at the start of the step, 16 hex digits. */
  digest: string;
  /** Chunks of all owners, this member among them, whose finished sum is not here. */
  chunksOpen: number;
}

export function createStepState({ compression, window, chunks }: Plan): StepState {
  return {
    compression,
    window,
    owners: chunks.map((owned, rank) => ({
      rank,
      chunks: owned,
      results: new Array<boolean>(owned.length).fill(false),
      resultsBefore: 0,
      sent: 0,
      digest: undefined,
    })),
    step: -1,
    phase: 'waiting',
    digest: NO_DIGEST,
    chunksOpen: chunks.reduce((total, owned) => total + owned.length, 0),
  };
}

/** Begins another step in the same state. */
export function resetStep(state: StepState, step: number): void {
  state.step = step;
  state.phase = 'waiting';
  state.digest = NO_DIGEST;
  state.chunksOpen = 0;
  for (const owner of state.owners) {
    state.chunksOpen += owner.chunks.length;
    owner.results.fill(false);
    owner.resultsBefore = 0;
    owner.sent = 0;
    owner.digest = undefined;
  }
}

/** The phase once all that has come has been looked at. */
export function phaseAfter({ phase, chunksOpen }: Pick<StepState, 'phase' | 'chunksOpen'>): Phase {
  return phase === 'open' && chunksOpen === 0 ? 'complete' : phase;
}

/** The first place from `from` on that is not set. */
export function firstUnset(flags: readonly boolean[], from: number): number {
  let at = from;
  while (flags[at]) at++;
  return at;
}

/** Chunks of an owner that this member may have contributed to by now: all before this one. */
export function contributionsAllowed(
  { chunks, resultsBefore }: Pick<OwnerState, 'chunks' | 'resultsBefore'>,
  window: number,
): number {
  return Math.min(chunks.length, resultsBefore + window);
}

/**
 * What a result means: `unplanned` when the plan has no such chunk, `early` when this member has not
 * contributed and the result cannot be of this step, `repeated` when it is here already.
 */
export function meaningOfResult(
  state: StepState,
  { owner: rank, chunk, offset, count, encoding }: Header,
): 'unplanned' | 'early' | 'repeated' | 'new' {
  const owner = state.owners[rank];
  const range = owner?.chunks[chunk];
  if (owner === undefined || range === undefined) return 'unplanned';
  if (range.offset !== offset || range.count !== count || encoding !== state.compression) return 'unplanned';
  if (state.phase === 'waiting') return 'early';
  return owner.results[chunk] ? 'repeated' : 'new';
}

/**
 * Whether a contribution that a member misses to the slices of `owner` can be sent again: this member has sent it, and
 * its vectors are still what they were. `nodes`: how many it gives to that member.
 */
export function canRepeatContribution(
  { phase, owners }: Pick<StepState, 'phase' | 'owners'>,
  owner: number,
  request: Extract<Request, { kind: 'contribution' }>,
  nodes: number,
): boolean {
  // When the step is complete, all contributions have arrived, or its chunks would not be finished.
  return phase === 'open' && request.index < nodes && request.chunk < owners[owner]!.sent;
}

/**
 * Request words for the results of `owner` that have not come: of chunks this member has contributed to, a
 * window at most.
 */
export function missingResults(
  { results, resultsBefore, sent }: Pick<OwnerState, 'results' | 'resultsBefore' | 'sent'>,
  window: number,
): number[] {
  const words: number[] = [];
  for (let chunk = resultsBefore; chunk < sent && words.length < window; chunk++) {
    if (!results[chunk]) words.push(resultWord(chunk));
  }
  return words;
}

/** What one member is asked for: the words of a `missing` message. */
export interface RequestTo {
  readonly rank: number;
  /** Whose slices the words are about. */
  readonly owner: number;
  readonly words: readonly number[];
}

/**
 * Whom to ask now, and for what. Nobody is asked outside the open phase, in which alone something is missing, and not
 * before it is due.
 */
export function requestsNow(
  { phase, window, owners }: Pick<StepState, 'phase' | 'window' | 'owners'>,
  others: readonly OwnerState[],
  facts: {
    /** The member has been quiet for long enough. */
    readonly isDue: (rank: number) => boolean;
    /** Request words for what the member has not contributed to the slices of an owner. */
    readonly missingFrom: (rank: number, owner: number) => readonly number[];
    /** From whom results of an owner come. */
    readonly bringer: (owner: number) => number;
  },
): RequestTo[] {
  if (phase !== 'open') return [];
  const wordsFor = (rank: number, owner: OwnerState): number[] => [
    ...facts.missingFrom(rank, owner.rank),
    ...(facts.bringer(owner.rank) === rank ? missingResults(owner, window) : []),
  ];
  return others
    .filter(({ rank }) => facts.isDue(rank))
    .flatMap(({ rank }) => owners.map((owner) => ({ rank, owner: owner.rank, words: wordsFor(rank, owner) })))
    .filter(({ words }) => words.length > 0);
}

/**
 * Two members went into the step with different weights, so that a sum of theirs would belong to no replica.
 */
export const startedApart = (state: Pick<StepState, 'digest'>, owner: Pick<OwnerState, 'digest'>): boolean =>
  owner.digest !== undefined && owner.digest !== state.digest;
