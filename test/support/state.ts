// Helpers around the coordinator's state for tests that make one by hand.

import type { Decided, Event } from '../../coordinator/model/events.ts';
import { evolve } from '../../coordinator/model/evolve.ts';
import type { Observed } from '../../coordinator/model/observed.ts';
import { emptyMap, type PersistentMap, withEntry } from '../../coordinator/model/persistent-map.ts';
import { specDigest } from '../../coordinator/model/spec-digest.ts';
import { initialState, isWhole, type RunState, type State } from '../../coordinator/model/state.ts';
import { rowsOf, type Table } from '../../coordinator/model/table.ts';
import { createBoard } from '../../coordinator/scheduling/board.ts';
import { type Waits, waitsOf } from '../../coordinator/scheduling/waits.ts';
import type { PlanSpec } from '../../core/spec/plan.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import type { SweepSpec } from '../../core/spec/sweep.ts';

/** The rows of a table, oldest first. */
export function inOrder<T>(table: Table<T>): T[] {
  return [...rowsOf(table)].map(([, row]) => row);
}

/** The runs that are in memory as a whole, oldest first. */
export function wholeRuns(state: State): RunState[] {
  return inOrder(state.runs).filter(isWhole);
}

/** Workers that are connected. */
export function connections(ids: Iterable<string> = []): PersistentMap<true> {
  let map = emptyMap<true>();
  for (const id of ids) map = withEntry(map, id, true);
  return map;
}

/** What queued runs of this state wait for. */
export function waitsIn(state: State, observed: Observed): Waits {
  const board = createBoard();
  board.follow(state, observed);
  return waitsOf(board);
}

/** The state that these events lead to. */
export function folded(events: Iterable<Event>, before: State = initialState): State {
  let state = before;
  for (const event of events) state = evolve(state, event);
  return state;
}

/** The event that records a spec, and its digest. */
export function recorded(spec: PlanSpec | SweepSpec | RunSpec): { event: Decided; digest: string } {
  const digest = specDigest(spec);
  return { event: { kind: 'spec.recorded', digest, spec }, digest };
}

/** The key of a genotype, another one for each number below 12^2. */
export function keyNumber(number: number): string {
  return `test-key-${number}`;
}

/** What random search remembers after so many draws. */
export function drawn(nextDraw: number) {
  return { kind: 'random', nextDraw, accepted: nextDraw, skipped: { count: 0, firstReason: '' } } as const;
}
