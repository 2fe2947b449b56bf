// Reading the journal from its first event to the state that decisions begin with. Decides when a journal
// that cannot be read is looked at again: one that is away every second, a damaged one when something about
// it has changed, because reading 100,000 events each second to find the same damage would keep a processor
// busy.

import type { Clock } from '../../core/clock.ts';
import { type FleetError, toFleetError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import { delayMs, WAIT_FOR_ROOM } from '../../core/retry.ts';
import type { Event } from '../model/events.ts';
import { createFold, evolve } from '../model/evolve.ts';
import { initialState, type State } from '../model/state.ts';
import type { Edit } from '../model/table.ts';
import { consequenceOf } from './admission.ts';
import type { Journal } from './journal.ts';
import { damageAt } from './journal-reader.ts';
import { keepSnapshots } from './snapshot-keeping.ts';
import type { Snapshot, SnapshotStore } from './snapshots.ts';

/** What the reading needs, and who is shown its trouble. */
export interface Opening {
  readonly journal: Pick<
    Journal,
    'stream' | 'place' | 'index' | 'prepare' | 'replay' | 'fingerprint' | 'sequence'
  >;
  /** Where a snapshot may be found, and one is put when the reading has taken long. */
  readonly snapshots?: SnapshotStore | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  /** Makes sure of what must exist before the journal is read. */
  readonly prepare: () => Promise<void>;
  readonly signal: AbortSignal;
  /** Why the journal was given up before; the same sentence is not logged again. */
  readonly reported: FleetError | undefined;
  /** The journal cannot be read now. `readable`: the state up to a damage. */
  readonly onTrouble: (error: FleetError, readable: State | undefined) => void;
}

/**
 * Reads until the journal is whole, and resolves with its state; undefined when the signal was aborted first.
 * Rejects with an error that no further reading would change.
 */
export async function openJournalState(opening: Opening): Promise<State | undefined> {
  const { journal, clock, log, signal, onTrouble } = opening;
  let damage = opening.reported?.code === 'dataLoss' ? opening.reported : undefined;
  let reported = damage?.message;
  let seen: string | undefined;
  while (!signal.aborted) {
    const print = await journal.fingerprint().catch(() => undefined);
    if (signal.aborted) return undefined;
    if (damage === undefined || print === undefined || print !== seen) {
      const folding = { state: initialState };
      try {
        await fold(opening, folding);
        return signal.aborted ? undefined : folding.state;
      } catch (caught) {
        const error = toFleetError(caught);
        if (signal.aborted) return undefined;
        if (consequenceOf(error, 'reading') === 'stop') throw error;
        damage = error.code === 'dataLoss' ? error : undefined;
        if (reported !== error.message) log.error({ code: error.code }, error.message);
        reported = error.message;
        onTrouble(error, damage && folding.state);
        seen = await journal.fingerprint().catch(() => undefined);
      }
    }
    await clock.sleep(delayMs(WAIT_FOR_ROOM, 1), signal).catch(() => undefined);
  }
  return undefined;
}

async function fold(opening: Opening, folding: { state: State }): Promise<void> {
  const { journal, snapshots, clock, log, prepare } = opening;
  const startedAt = clock.monotonic();
  await prepare();
  await journal.prepare();
  const snapshot = await snapshots?.newest();
  const isTail = snapshot !== undefined && (await foldFrom(opening, folding, snapshot));
  if (!isTail) await foldFrom(opening, folding, undefined);
  const { state } = folding;
  const ms = Math.round(clock.monotonic() - startedAt);
  const from = isTail ? snapshot.place.sequence : 0;
  log.info({ events: state.events, from, sequence: journal.sequence, ms }, 'journal replayed');
  if (snapshots !== undefined) keepSnapshots({ snapshots, journal, state, signal: opening.signal });
}

/** Folds what comes after a snapshot, or everything; false when the snapshot lies in what was cut off. */
async function foldFrom(
  { journal, log }: Opening,
  folding: { state: State },
  snapshot: Snapshot | undefined,
): Promise<boolean> {
  const fold = createFold(snapshot?.state);
  try {
    for await (const events of journal.replay(snapshot))
      for (const event of events) fitted(journal, event, () => fold.add(event));
    return true;
  } catch (caught) {
    if (snapshot === undefined || toFleetError(caught).code !== 'cancelled') throw caught;
    log.info({ sequence: snapshot.place.sequence }, 'a snapshot is passed over: it was cut off');
    return false;
  } finally {
    folding.state = fold.state;
  }
}

/**
 * The state after one more event; an event that does not fit what came before is damage of the message at
 * `at`.
 */
export function foldedAt(
  at: { readonly stream: string; readonly sequence: number },
  before: State,
  event: Event,
  edit?: Edit,
): State {
  return fitted(at, event, () => evolve(before, event, edit));
}

/** What a fold does with an event; an event that does not fit is damage. */
function fitted<T>(
  at: { readonly stream: string; readonly sequence: number },
  event: Event,
  fold: () => T,
): T {
  try {
    return fold();
  } catch (caught) {
    const what = caught instanceof Error ? caught.message : String(caught);
    throw damageAt(at.stream, at.sequence, `its ${event.kind} event does not fit what came before (${what})`);
  }
}
