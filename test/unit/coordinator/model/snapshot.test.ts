// A state and an index that go through a snapshot are those that the whole journal gives, at every cut, and go on
// as if nothing had happened.

import assert from 'node:assert/strict';
import test from 'node:test';
import {
  createJournalIndex,
  type IndexPart,
  type JournalIndex,
} from '../../../../coordinator/journal/journal-index.ts';
import type { Event } from '../../../../coordinator/model/events.ts';
import { createFold } from '../../../../coordinator/model/evolve.ts';
import { encodeState } from '../../../../coordinator/model/snapshot.ts';
import { decodeState } from '../../../../coordinator/model/snapshot-decoder.ts';
import { FOLD, type StatePart } from '../../../../coordinator/model/snapshot-parts.ts';
import { initialState, type State } from '../../../../coordinator/model/state.ts';
import { eventsInFixture, journalFixtures } from '../../../support/journal-fixtures.ts';
import { folded, plainIndex, plainOf } from '../../../support/state.ts';
import { grow } from './grown.ts';

/** As it is stored. */
const stored = <T>(parts: Iterable<T>): T[] => JSON.parse(JSON.stringify([...parts]));
/** The parts of an index as they are stored. */
const storedIndex = (index: JournalIndex): IndexPart[] =>
  [...index.encoded()].map((part) => {
    if (part.of === 'names') return stored([part])[0]!;
    const { page, bytes } = part.page;
    const copy = bytes().slice();
    return { ...part, page: { page, bytes: () => copy } };
  });

function indexOf(
  messages: readonly (readonly Event[])[],
  from = 0,
  known = createJournalIndex(),
): JournalIndex {
  messages.forEach((events, at) => {
    // Every third message is one that was cut out.
    if (at >= from && at % 3 !== 2) known.add(at + 1, events);
  });
  return known;
}

function foldedInPlace(events: readonly Event[], from?: State): State {
  const fold = createFold(from);
  for (const event of events) fold.add(event);
  return fold.state;
}

for (const file of journalFixtures())
  test(`${file}: a snapshot and what came after it give the state of the whole journal, at every cut`, () => {
    const events = eventsInFixture(file).flat();
    assert.ok(events.length > 5);
    const whole = plainOf(folded(events));
    assert.deepEqual(plainOf(foldedInPlace(events)), whole, 'folded in place');
    for (let cut = 0; cut <= events.length; cut++) {
      const before = folded(events.slice(0, cut));
      const again = decodeState(stored(encodeState(before)));
      assert.deepEqual(plainOf(again), plainOf(before), `at ${cut}`);
      // Every second time as a start goes on, and otherwise as decisions do.
      const rest = events.slice(cut);
      const after = cut % 2 === 0 ? foldedInPlace(rest, again) : folded(rest, again);
      assert.deepEqual(plainOf(after), whole, `after ${cut}`);
    }
  });

for (const file of journalFixtures())
  test(`${file}: an index in a snapshot and what came after it is that of the whole journal, at every cut`, () => {
    const messages = eventsInFixture(file);
    const whole = plainIndex(indexOf(messages));
    for (let cut = 0; cut <= messages.length; cut++) {
      const before = indexOf(messages.slice(0, cut));
      const parts = [...before.encoded()];
      // What is written while the index is stored is no part of it.
      indexOf(messages, cut, before);
      const again = createJournalIndex(storedIndex({ ...before, encoded: () => parts }));
      assert.deepEqual(plainIndex(indexOf(messages, cut, again)), whole, `after ${cut}`);
    }
  });

test('a long past comes in parts of some hundred rows, and back', () => {
  const { events, state } = grow({ trials: 1_200, cancelled: 300, reasonBytes: 10, yamlBytes: 10 });
  const parts = stored(encodeState(state));
  assert.ok(parts.every((part) => 'rows' in part && part.rows.length <= 500));
  // 1,200 trials, of which the first page has the numbers 1 to 255.
  assert.equal(parts.filter(({ of }) => of === 'trials').length, 5);
  assert.deepEqual(plainOf(decodeState(parts)), stored([plainOf(state)])[0]);
  const index = createJournalIndex();
  for (const [at, event] of events.entries()) index.add(at + 1, [event]);
  assert.deepEqual(plainIndex(createJournalIndex(storedIndex(index))), plainIndex(index));
});

test('a snapshot of another fold, without its facts, or with a part of another release is refused', () => {
  const [facts] = encodeState(initialState);
  assert.ok(facts?.of === 'facts');
  const other: StatePart = { ...facts, rows: [{ ...facts.rows[0]!, fold: FOLD + 1 }] };
  assert.throws(() => decodeState([other]), new RegExp(`has fold ${FOLD + 1}, this release reads ${FOLD}`));
  assert.throws(() => decodeState([]), /no facts/);
  const unknown = { of: 'moons', rows: [] } as unknown as StatePart;
  assert.throws(() => decodeState([facts, unknown]), /has moons/);
});
