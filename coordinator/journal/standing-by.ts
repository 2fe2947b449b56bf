// What a standby does: it folds what the leader appends as soon as it sees it, and tries to take the lead when
// the lease has run out. Decides that a coordinator claims the lead only with everything folded that is on
// disk; the claim itself is the first append of leading.ts.

import type { Clock } from '../../core/clock.ts';
import { type FleetError, toFleetError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import { Edit } from '../model/table.ts';
import { consequenceOf } from './admission.ts';
import type { Journal } from './journal.ts';
import { importedError } from './journal-import.ts';
import { type Holder, type Lease, standbyError } from './lease.ts';
import { foldedAt } from './opening.ts';
import { knownTo, type Seat } from './seat.ts';
import { keepSnapshots } from './snapshot-keeping.ts';
import type { SnapshotStore } from './snapshots.ts';

/** What the standby needs. */
export interface StandbyParts {
  readonly journal: Pick<Journal, 'readOn' | 'place' | 'index' | 'sequence' | 'stream'>;
  /** Where a snapshot is put now and then: a standby has the time for it. */
  readonly snapshots?: SnapshotStore | undefined;
  readonly lease: Lease;
  /** Whether an imported journal waits to take the place of this one; absent: never. */
  readonly importWaits?: (() => Promise<boolean>) | undefined;
  readonly seat: Seat;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** There is something to show: who leads is known. */
  readonly onBegun: () => void;
}

/** Between two looks at journal and lease, milliseconds. */
const LOOK_MS = 200;

/**
 * Stands by until this coordinator may claim the lead: undefined. An error: the journal must be read again
 * from its start. Rejects with an error that no later look would change, and when the signal is aborted.
 */
export async function standBy(parts: StandbyParts): Promise<FleetError | undefined> {
  const { lease, seat, clock, log, signal } = parts;
  /** The holder that callers are sent to; null: none was shown yet. */
  let shown: string | undefined | null = null;
  let reported: string | undefined;
  for (;;) {
    try {
      await followOn(parts);
      const hold = await lease.hold(knownTo(seat).epoch + 1);
      if (hold.kind !== 'other') {
        await followOn(parts);
        // Whatever would be decided now would go with the journal.
        if (await parts.importWaits?.()) throw importedError();
        return undefined;
      }
      if (shown !== hold.holder?.holder) show(parts, hold.holder);
      shown = hold.holder?.holder;
      reported = undefined;
    } catch (caught) {
      const error = toFleetError(caught);
      signal.throwIfAborted();
      if (consequenceOf(error, 'writing') === 'again') return error;
      if (consequenceOf(error, 'reading') === 'stop') throw error;
      if (reported !== error.code) log.warn({ code: error.code }, `standing by: ${error.message}`);
      reported = error.code;
    }
    await clock.sleep(LOOK_MS, signal);
  }
}

function show({ seat, log, onBegun }: StandbyParts, holder: Holder | undefined): void {
  const error = standbyError(holder);
  log.info({ leader: holder?.address, epoch: holder?.epoch }, 'standing by');
  seat.take({ kind: 'standby', error });
  onBegun();
}

/** Folds what was appended since the last time. */
async function followOn({ journal, seat, snapshots, signal }: StandbyParts): Promise<void> {
  const before = knownTo(seat);
  const edit = new Edit();
  let state = before;
  try {
    for await (const event of journal.readOn()) state = foldedAt(journal, state, event, edit);
  } finally {
    // Also when the broker went away in between: what was read is not read again.
    if (state !== before) seat.know(state);
  }
  if (snapshots !== undefined) keepSnapshots({ snapshots, journal, state, signal });
}
