// How a leader holds on to its lead, and notices that it is gone: it renews the lease each second and looks at
// the journal. Decides that a leader whom the broker does not answer for LEASE_MS takes nothing in any more, and
// goes on where it was when the broker answers and nobody else has written.

import type { Clock } from '../../core/clock.ts';
import { FleetError, toFleetError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import type { State } from '../model/state.ts';
import { consequenceOf } from './admission.ts';
import type { Journal } from './journal.ts';
import { LEASE_MS, LEASE_RENEW_MS, type Lease } from './lease.ts';
import { knownTo, type Seat } from './seat.ts';

/** What it needs of the leader. */
export interface KeepingParts {
  readonly journal: Pick<Journal, 'confirmLead'>;
  readonly lease: Pick<Lease, 'hold'>;
  readonly seat: Seat;
  readonly clock: Clock;
  readonly log: Logger;
  /** Aborted when the lead ends. */
  readonly until: AbortSignal;
  /** A group is being decided or appended. */
  readonly isWorking: () => boolean;
  /** The first append of this lead is stored. */
  readonly isClaimed: () => boolean;
  /** Decisions may go on. */
  readonly wake: () => void;
  readonly onLead: (state: State) => void;
  readonly onPause: (error: FleetError) => void;
  /** Called after each try to renew the lease, with how long it took, seconds. */
  readonly onLeaseRenewed?: (outcome: 'ok' | 'error', seconds: number) => void;
}

/**
 * Renews the lease, and looks each time whether the journal is still as this coordinator left it, since one
 * that has nothing to append would not notice that it lost the lead. Rejects when it has.
 */
export async function keepLease(parts: KeepingParts): Promise<never> {
  const { journal, seat, clock, log, until } = parts;
  let answeredMs = clock.monotonic();
  for (;;) {
    await clock.sleep(LEASE_RENEW_MS, until);
    try {
      await renew(parts);
      // A group that is under way finds out for itself.
      if (!parts.isWorking()) await journal.confirmLead();
      answeredMs = clock.monotonic();
      if (seat.post.kind === 'cutOff') goOn(parts);
    } catch (caught) {
      const error = toFleetError(caught);
      if (consequenceOf(error, 'writing') === 'again' || error.code === 'aborted') throw error;
      const silentMs = clock.monotonic() - answeredMs;
      if (seat.post.kind === 'leading' && silentMs >= LEASE_MS) pause(parts, error, silentMs);
      log.debug({ code: error.code }, error.message);
    }
  }
}

/** A lease that the broker refuses to renew is no lost lead: what was written to the journal is. */
async function renew({ lease, seat, log, clock, onLeaseRenewed }: KeepingParts): Promise<void> {
  const startedAt = clock.monotonic();
  const seconds = () => (clock.monotonic() - startedAt) / 1000;
  try {
    await lease.hold(knownTo(seat).epoch);
    onLeaseRenewed?.('ok', seconds());
  } catch (caught) {
    onLeaseRenewed?.('error', seconds());
    const error = toFleetError(caught);
    if (error.retryable) throw error;
    log.warn({ code: error.code }, `the lease of the lead is not renewed: ${error.message}`);
  }
}

/** Another coordinator may lead by now, so that workers must be free to find it. */
function pause({ seat, log, onPause }: KeepingParts, cause: FleetError, silentMs: number): void {
  const error = new FleetError(
    'unavailable',
    `the broker has not answered for ${Math.round(silentMs / 1000)} s (${cause.message}), and another coordinator may lead by now; nothing is decided here until it answers`,
    { cause, details: { standby: true } },
  );
  log.warn(error.message);
  seat.take({ kind: 'cutOff', error });
  onPause(error);
}

function goOn({ seat, log, onLead, isClaimed, wake }: KeepingParts): void {
  log.info('the broker answers again, and this coordinator still leads');
  seat.take({ kind: 'leading', claimed: isClaimed() });
  onLead(knownTo(seat));
  wake();
}
