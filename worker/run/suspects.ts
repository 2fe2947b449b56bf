// The members that this worker reports as suspects in one generation. Decides what is reported of a member
// when several exchanges of the run see it differently: a run with a sharded head has five, and a member that
// does nothing holds up whichever of them the others wait in.

import type { Suspect as Seen } from '../../core/allreduce/exchange.ts';
import type { Suspect } from '../../proto/gen/pocketfleet/v1/worker.ts';

export interface Suspects {
  /** The suspects of one exchange, in place of those that it had before. */
  update(exchange: string, suspects: readonly Seen[]): void;
  /**
   * For the coordinator, each member once. Silence counts more than idleness, and of two alike the longer one
   * counts.
   */
  all(): Suspect[];
}

export function createSuspects(members: readonly { readonly workerId: string }[]): Suspects {
  const byExchange = new Map<string, readonly Seen[]>();
  return {
    update(exchange, suspects) {
      byExchange.set(exchange, suspects);
    },
    all() {
      const worst = new Map<number, Seen>();
      for (const suspect of [...byExchange.values()].flat()) {
        const known = worst.get(suspect.rank);
        if (known === undefined || weighsMore(suspect, known)) worst.set(suspect.rank, suspect);
      }
      return [...worst.values()].map(({ rank, kind, ms, limitMs }) => ({
        workerId: members[rank]!.workerId,
        kind,
        ms,
        limitMs,
      }));
    },
  };
}

const weighsMore = (a: Seen, b: Seen): boolean => (a.kind === b.kind ? a.ms > b.ms : a.kind === 'silent');
