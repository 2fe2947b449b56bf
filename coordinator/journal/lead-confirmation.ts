// That this coordinator leads, asked after a decision. A decision with events is confirmed by their append; one
// without any changes nothing, but its commands and answers would still be wrong from a coordinator that was
// replaced: the new leader may have assigned the run that this one does not know. Decides what may not leave
// without being confirmed, and that a broker which cannot be asked confirms nothing. Nor does a look at the journal
// alone: in a cluster, a server that is cut off from the others answers for a while with what it knew. The lease is
// renewed by a write, which a majority has to take, so that a fresh one shows that nobody else leads yet.

import type { Clock } from '../../core/clock.ts';
import { FleetError, toFleetError } from '../../core/errors.ts';
import { ASK_AGAIN, retrying } from '../../core/retry.ts';
import type { Decision } from '../decisions/decide.ts';
import type { Input } from '../decisions/inputs.ts';
import { isCall } from './admission.ts';
import type { Journal } from './journal.ts';
import type { Lease } from './lease.ts';

/** Whether somebody outside sees what was decided: a worker gets a command, or a caller an answer. */
export function isSeenOutside({
  waiting,
  decision,
}: {
  readonly waiting: { readonly input: Input };
  readonly decision: Decision;
}): boolean {
  return decision.effects.length > 0 || isCall(waiting.input);
}

/**
 * Resolves once the broker has confirmed the lead, however long it is away. Rejects when the lead is lost, the
 * journal is damaged or was cut off, or the signal is aborted.
 */
export function confirmLeadFor(options: {
  readonly journal: Pick<Journal, 'confirmLead'>;
  readonly lease: Pick<Lease, 'isFresh'>;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}): Promise<void> {
  const { journal, lease, clock, signal } = options;
  const confirm = async () => {
    await journal.confirmLead();
    if (!lease.isFresh)
      throw new FleetError('unavailable', 'the lease of the lead has run out and was not renewed yet');
  };
  return retrying(confirm, {
    ...{ backoff: ASK_AGAIN, clock, signal },
    finalError(caught) {
      const error = toFleetError(caught);
      return error.retryable && error.code !== 'aborted' ? undefined : error;
    },
  });
}
