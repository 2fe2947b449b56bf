// Whom a member complains of in one generation. A run with a sharded head has several exchanges, and who does nothing holds up
// whichever of them the others wait in. Decides what is said of a member of whom they say different things; when an exchange
// complains is core/allreduce/patience.ts', what follows the coordinator's.

import type { Suspect as Suspected } from '../../core/allreduce/exchange.ts';
import type { Suspect } from '../../proto/gen/pocketfleet/v1/worker.ts';

export interface Suspects {
  /** What one exchange says now; it replaces what it said before. */
  from(exchange: string, suspects: readonly Suspected[]): void;
  /** For the coordinator, each member once: silence says more than idleness, and the longest of it most. */
  all(): Suspect[];
}

export function createSuspects(members: readonly { readonly workerId: string }[]): Suspects {
  const said = new Map<string, readonly Suspected[]>();
  return {
    from(exchange, suspects) {
      said.set(exchange, suspects);
    },
    all() {
      const worst = new Map<number, Suspected>();
      for (const suspect of [...said.values()].flat()) {
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

const weighsMore = (a: Suspected, b: Suspected): boolean =>
  a.kind === b.kind ? a.ms > b.ms : a.kind === 'silent';
