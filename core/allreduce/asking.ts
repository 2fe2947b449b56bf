// When a member that owes something is asked for it, and when it is asked again. Decides times alone.
//
// For each other member of one step:
//
//   news ── quiet for patienceMs ──► request ── quiet for twice as long ──► request ── ...
//     ▲                                                                        │
//     └───────────────────────── something new from that member ◄──────────────┘
//
// The receiver asks and nobody acknowledges: losses are rare, and an acknowledgement of each chunk would
// double the messages. The pause doubles, because a member that is only busy would find all these requests in
// its socket at once. News alone resets it. A repetition or a `here` does not, since what is missing is then
// still missing.
//
// Invariant: a member that owes something is asked again at most max(stallMs, ASK_MS_MAX) of listening after
// the last request, so every loss is repaired as long as one message in each direction arrives in the end.

import type { Wire } from './wire.ts';

/** What one member has heard of another in one step. Times are in milliseconds of listening. */
export interface Silence {
  /** When something new came from the member, or when it was last asked. */
  readonly quietSince: number;
  /** When something new came from the member, or when this one began to wait. */
  readonly newsAt: number;
  /** Requests since `newsAt`. */
  readonly asked: number;
  /** Quiet time before the next request; doubles up to ASK_MS_MAX while nothing new comes. */
  readonly patienceMs: number;
  /** Since `newsAt` the member has told that it waits for these itself. */
  readonly waitsFor: readonly number[];
}

/** Longest pause between two requests, milliseconds, unless stallMs itself is longer. */
export const ASK_MS_MAX = 500;

/** Something new has come, or a step begins. */
export const silenceFrom = (now: number, stallMs: number): Silence => ({
  quietSince: now,
  newsAt: now,
  asked: 0,
  patienceMs: stallMs,
  waitsFor: [],
});

/** A request has gone out. */
export const silenceAfterRequest = (silence: Silence, now: number, stallMs: number): Silence => ({
  ...silence,
  quietSince: now,
  asked: silence.asked + 1,
  patienceMs: Math.max(stallMs, Math.min(ASK_MS_MAX, silence.patienceMs * 2)),
});

/** The member has been quiet for long enough to be asked. */
export const isRequestDue = ({ quietSince, patienceMs }: Silence, now: number): boolean =>
  now - quietSince >= patienceMs;

export interface Asking {
  /** This member begins to wait for `rank`, with the patience that it has. */
  beginWait(rank: number): void;
  /** Something new came from `rank`. */
  noteNews(rank: number): void;
  isDue(rank: number): boolean;
  noteRequest(rank: number): void;
  /** `rank` has nothing to give, because it waits for others. */
  noteWaits(rank: number, waitsFor: readonly number[]): void;
  /** For whom `rank` waits. */
  waitsFor(rank: number): readonly number[];
  /** Milliseconds without news from `rank`, and requests since. */
  waited(rank: number): { readonly ms: number; readonly asked: number };
}

export function createAsking(wire: Wire): Asking {
  const fresh = (): Silence => silenceFrom(wire.now(), wire.stallMs);
  const silences = Array.from({ length: wire.ranks }, fresh);
  return {
    beginWait(rank) {
      silences[rank] = { ...fresh(), patienceMs: silences[rank]!.patienceMs };
    },
    noteNews(rank) {
      silences[rank] = fresh();
    },
    isDue: (rank) => isRequestDue(silences[rank]!, wire.now()),
    noteRequest(rank) {
      silences[rank] = silenceAfterRequest(silences[rank]!, wire.now(), wire.stallMs);
    },
    noteWaits(rank, waitsFor) {
      silences[rank] = { ...silences[rank]!, waitsFor };
    },
    waitsFor: (rank) => silences[rank]!.waitsFor,
    waited(rank) {
      const { newsAt, asked } = silences[rank]!;
      return { ms: wire.now() - newsAt, asked };
    },
  };
}
