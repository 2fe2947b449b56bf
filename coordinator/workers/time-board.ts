// What workers reported of their time that is not journalled yet: the newest word of each process, as it comes
// with its heartbeats. Volatile: a process repeats all of it until it is journalled.

import {
  addSeconds,
  type PhaseSeconds,
  sliceAfter,
  type TimeEntry,
  type TimeSlice,
} from '../../core/worker-time.ts';
import { entriesOf } from '../model/persistent-map.ts';
import type { State } from '../model/state.ts';
import type { TimeAccount } from '../model/time-accounts.ts';

/** The newest open slice of each worker's process. */
export interface TimeBoard {
  heard(workerId: string, incarnation: string, slice: TimeSlice): void;
  /** Undefined where this process has reported none to this coordinator. */
  of(workerId: string, incarnation: string): TimeSlice | undefined;
  /** The process is gone. */
  remove(workerId: string, incarnation: string): void;
}

/** A board without reports. */
export function createTimeBoard(): TimeBoard {
  const newest = new Map<string, { readonly incarnation: string; readonly slice: TimeSlice }>();
  const of = (workerId: string, incarnation: string) => {
    const known = newest.get(workerId);
    return known?.incarnation === incarnation ? known.slice : undefined;
  };
  return {
    heard: (workerId, incarnation, slice) => void newest.set(workerId, { incarnation, slice }),
    of,
    remove(workerId, incarnation) {
      if (of(workerId, incarnation) !== undefined) newest.delete(workerId);
    },
  };
}

/** What workers have reported and the journal does not have yet, with whose it is. */
export function* openEntries(
  { time }: Pick<State, 'time'>,
  board: Pick<TimeBoard, 'of'>,
): Generator<TimeEntry & { readonly workerId: string }> {
  for (const [workerId, { incarnation, until }] of entriesOf(time.workers)) {
    const slice = board.of(workerId, incarnation);
    // What lies before a slice that begins later is on its way to the journal.
    const fresh = slice && sliceAfter(slice, Math.max(until, slice.from));
    for (const entry of fresh?.entries ?? []) yield { workerId, ...entry };
  }
}

/** What workers have reported of each run and the journal does not have yet, by the run's id. */
export function openSecondsOfRuns(
  state: Pick<State, 'time'>,
  board: Pick<TimeBoard, 'of'>,
): ReadonlyMap<string, PhaseSeconds> {
  const open = new Map<string, PhaseSeconds>();
  for (const { runId, seconds } of openEntries(state, board))
    if (runId !== undefined) open.set(runId, addSeconds(open.get(runId) ?? {}, seconds));
  return open;
}

/** The account of the fleet up to what its workers reported last. */
export function fleetSeconds(state: Pick<State, 'time'>, board: Pick<TimeBoard, 'of'>): TimeAccount {
  let { seconds, repeated } = state.time.fleet;
  for (const entry of openEntries(state, board)) seconds = addSeconds(seconds, entry.seconds);
  return { seconds, repeated };
}
