// Requests that this worker is answering: verifications and replays. Decides that each can be given up alone,
// and all together when the worker stops.

import { FleetError } from '../../core/errors.ts';

export interface RequestsInHand {
  /** Answers a request until its signal is aborted. */
  answer(requestId: string, work: (signal: AbortSignal) => Promise<void>): void;
  /** Gives a request up because nobody waits for it; one that is not in hand is answered already. */
  abandon(requestId: string): void;
  count(): number;
}

/** `closing` gives all of them up. */
export function createRequestsInHand(closing: AbortSignal): RequestsInHand {
  const inHand = new Map<string, AbortController>();
  return {
    answer(requestId, work) {
      const own = new AbortController();
      inHand.set(requestId, own);
      void work(AbortSignal.any([own.signal, closing])).finally(() => {
        if (inHand.get(requestId) === own) inHand.delete(requestId);
      });
    },
    abandon: (requestId) => inHand.get(requestId)?.abort(new FleetError('cancelled', 'nobody waits for it')),
    count: () => inHand.size,
  };
}
