// When a complaint about a member of the gang counts. A member that is silent is one at once. One that answers and does
// not contribute may wait for a block of embeddings that somebody else has claimed, and then compute it: steps whose
// blocks were there say nothing about how long that takes. So this complaint counts once it has lasted for that long.

import type { Suspect } from '../../core/allreduce/exchange.ts';
import { after } from '../../core/clock.ts';

export interface Complaints {
  /** What an exchange sees now of its members. */
  heard(exchange: string, found: readonly Suspect[]): void;
  /** Nothing counts any more. */
  close(): void;
}

export function createComplaints(options: {
  /** Takes what counts, each time that it changes. */
  readonly update: (exchange: string, found: readonly Suspect[]) => void;
  /** How much longer than a step a member may take for its embeddings, milliseconds. */
  readonly allowanceMs: () => number;
}): Complaints {
  const { update, allowanceMs } = options;
  const pending = new Map<string, () => void>();
  return {
    heard(exchange, found) {
      pending.get(exchange)?.();
      pending.delete(exchange);
      const grave = found.filter(({ kind }) => kind === 'silent');
      const ms = grave.length === found.length ? 0 : allowanceMs();
      update(exchange, ms > 0 ? grave : found);
      if (ms > 0)
        pending.set(
          exchange,
          after(ms, () => update(exchange, found)),
        );
    },
    close() {
      for (const stop of pending.values()) stop();
      pending.clear();
    },
  };
}
