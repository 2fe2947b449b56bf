// Whom to ask for what is missing, and when again: silence grows into a question, each question without an answer doubles the
// time to the next, and news begins anew. Decides when; what is missing is the asker's affair (reduction.ts), and
// whether a silent member is to be suspected patience.ts'.

import type { Wire } from './wire.ts';

/** What one member has heard of another in one step. Times are the wire's, in milliseconds. */
interface Silence {
  /** When something new came from it, or it was last asked. */
  heardAt: number;
  /** When something new came from it, or this member began to wait. */
  newsAt: number;
  /** Requests since then. */
  asked: number;
  /** Quiet time before it is asked again; doubles up to ASK_MS_MAX while nothing comes. */
  patienceMs: number;
}

export interface Asking {
  /** This member begins to wait, with the patience that it has. */
  begin(rank: number): void;
  /** Something new came: patience is as at the beginning. */
  heard(rank: number): void;
  /** It has been quiet for long enough to be asked. */
  isDue(rank: number): boolean;
  asked(rank: number): void;
  /** For how long nothing new has come, and how often it was asked since. */
  waited(rank: number): { readonly ms: number; readonly asked: number };
}

const ASK_MS_MAX = 500;

export function createAsking(wire: Wire): Asking {
  const silences = Array.from({ length: wire.ranks }, (): Silence => newSilence(wire));
  return {
    begin(rank) {
      const { patienceMs } = silences[rank]!;
      silences[rank] = { ...newSilence(wire), patienceMs };
    },
    heard(rank) {
      silences[rank] = newSilence(wire);
    },
    isDue(rank) {
      const { heardAt, patienceMs } = silences[rank]!;
      return wire.now() - heardAt >= patienceMs;
    },
    asked(rank) {
      const silence = silences[rank]!;
      silence.heardAt = wire.now();
      silence.patienceMs = Math.max(wire.stallMs, Math.min(ASK_MS_MAX, silence.patienceMs * 2));
      silence.asked++;
    },
    waited(rank) {
      const { newsAt, asked } = silences[rank]!;
      return { ms: wire.now() - newsAt, asked };
    },
  };
}

const newSilence = (wire: Wire): Silence => ({
  heardAt: wire.now(),
  newsAt: wire.now(),
  asked: 0,
  patienceMs: wire.stallMs,
});
