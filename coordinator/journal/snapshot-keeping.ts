// When a coordinator writes a snapshot: whoever stands by as soon as one is due, since it has the time for it; the
// leader when nobody has done so for a while, as when it runs alone. The writing goes on in the background, in
// slices, while the state and the journal go on.

import type { State } from '../model/state.ts';
import type { Journal } from './journal.ts';
import type { SnapshotStore } from './snapshots.ts';

/** How much longer than a standby a leader waits. */
const LEADER_PATIENCE = 1.5;

/** Begins to write one if it is due. `state`: the one at the journal's place. */
export function keepSnapshots(options: {
  readonly snapshots: SnapshotStore;
  readonly journal: Pick<Journal, 'place' | 'index'>;
  readonly state: State;
  readonly signal: AbortSignal;
  readonly leads?: boolean;
}): void {
  const { snapshots, journal, state, signal, leads = false } = options;
  if (!snapshots.isDue(state.events, leads ? LEADER_PATIENCE : 1)) return;
  void snapshots.put({ place: journal.place, state, index: journal.index }, signal);
}
