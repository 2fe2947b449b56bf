// Helpers around the coordinator's state for tests that make one by hand.

import type { JournalIndex } from '../../coordinator/journal/journal-index.ts';
import type { Decided, Event } from '../../coordinator/model/events.ts';
import { evolve } from '../../coordinator/model/evolve.ts';
import { KeyNumbers } from '../../coordinator/model/key-numbers.ts';
import type { Observed } from '../../coordinator/model/observed.ts';
import {
  emptyMap,
  entriesOf,
  type PersistentMap,
  withEntry,
} from '../../coordinator/model/persistent-map.ts';
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

/**
 * A state as plain data, everything in it, however its tables and maps came about: equal states give equal data,
 * and only they.
 */
export function plainOf(state: State): unknown {
  const plain = plainValue(state) as { readonly results: object };
  // A group of results that were all taken away is none.
  const groups = Object.entries(plain.results).filter(([, members]) => Object.keys(members).length > 0);
  return { ...plain, results: Object.fromEntries(groups) };
}

function plainValue(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(plainValue);
  if ('root' in value && 'levels' in value)
    return [...rowsOf(value as Table<unknown>)].map(([number, row]) => [number, plainValue(row)]);
  if ('root' in value) {
    const entries = [...entriesOf(value as PersistentMap<unknown>)];
    return Object.fromEntries(
      entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([k, v]) => [k, plainValue(v)]),
    );
  }
  if ('past' in value && value.past instanceof KeyNumbers && 'recent' in value) {
    const recent = entriesOf(value.recent as PersistentMap<unknown>);
    const numbers = new Map<string, unknown>([...value.past, ...recent]);
    // What was taken away is 0 there.
    return Object.fromEntries([...numbers].filter(([, n]) => n !== 0).sort(([a], [b]) => (a < b ? -1 : 1)));
  }
  // A working state carries what it was made with, and counts that are 0 are none.
  const {
    edit: _edit,
    ownsRows: _rows,
    ownsNumbers: _numbers,
    ownsCounts: _counts,
    ...own
  } = value as Record<string, unknown>;
  const { counts, ...fields } = own;
  const plain = Object.fromEntries(Object.entries(fields).map(([key, one]) => [key, plainValue(one)]));
  if (counts === undefined) return plain;
  return {
    ...plain,
    counts: Object.fromEntries(Object.entries(counts as object).filter(([, n]) => n !== 0)),
  };
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

/** How far a search has looked after so many draws. */
export function drawn(draws: number) {
  return { draws };
}

/** A store with room, of which nothing is known. */
export const STORE_OK = {
  ...({ kind: 'ok', reason: '', usedBytes: 0, limitBytes: 0, streams: [], place: '' } as const),
  sinceMs: 0,
};

/** The measures of a network that was verified. */
export const EVALUATION = {
  ...{ accuracy: 0.9, accuracyStd: 0.1, auc: 0.8, eer: 0.2, tarAtFar: 0.5, pairs: 600 },
  accuracyUntrained: 0.5,
};

/** The parts of an index of the journal as plain data, for a comparison. */
export const plainIndex = (index: JournalIndex): unknown[] =>
  [...index.encoded()].map((part) =>
    part.of === 'names' ? part : { list: part.list, page: part.page.page, bytes: part.page.bytes() },
  );
