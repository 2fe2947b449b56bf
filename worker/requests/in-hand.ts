// Requests that this worker is answering: verifications, replays, inspections. Decides that each can be given
// up alone, and all together when the worker stops.

import { FleetError } from '../../core/errors.ts';

export interface RequestsInHand {
  /**
   * Answers a request until its signal is aborted. `anywhere`: another worker can go on with it, so that this
   * one need not stay for it.
   */
  answer(
    requestId: string,
    work: (signal: AbortSignal) => Promise<void>,
    options?: { readonly anywhere: boolean },
  ): void;
  /** Gives a request up because nobody waits for it; one that is not in hand is answered already. */
  abandon(requestId: string): void;
  /** Those that a worker stays for before it leaves. */
  count(): number;
}

/** `closing` gives all of them up. */
export function createRequestsInHand(closing: AbortSignal): RequestsInHand {
  const inHand = new Map<string, { readonly own: AbortController; readonly anywhere: boolean }>();
  return {
    answer(requestId, work, { anywhere } = { anywhere: false }) {
      const own = new AbortController();
      inHand.set(requestId, { own, anywhere });
      void work(AbortSignal.any([own.signal, closing])).finally(() => {
        if (inHand.get(requestId)?.own === own) inHand.delete(requestId);
      });
    },
    abandon: (requestId) =>
      inHand.get(requestId)?.own.abort(new FleetError('cancelled', 'nobody waits for it')),
    count: () => [...inHand.values()].filter(({ anywhere }) => !anywhere).length,
  };
}
