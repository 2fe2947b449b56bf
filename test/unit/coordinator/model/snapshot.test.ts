// A state that goes through a snapshot is the state that the whole journal gives, at every cut, and goes on as
// if nothing had happened.

import assert from 'node:assert/strict';
import test from 'node:test';
import { eventsOf, isRefusal } from '../../../../coordinator/journal/formats/reader.ts';
import { decodeGroup, isForeign } from '../../../../coordinator/journal/message.ts';
import type { Event } from '../../../../coordinator/model/events.ts';
import { createFold } from '../../../../coordinator/model/evolve.ts';
import { decodeState, encodeState, FOLD } from '../../../../coordinator/model/snapshot.ts';
import { initialState } from '../../../../coordinator/model/state.ts';
import { journalFixture, journalFixtures } from '../../../support/journal-fixtures.ts';
import { folded } from '../../../support/state.ts';

/** The events of a stored journal, all of them, in the newest format. */
function eventsIn(name: string): Event[] {
  return journalFixture(name).flatMap(({ data }) => {
    const group = decodeGroup(data);
    assert.ok(!isForeign(group));
    const events = eventsOf(group);
    assert.ok(!isRefusal(events));
    return [...events];
  });
}

for (const file of journalFixtures())
  test(`${file}: a snapshot and what came after it give the state of the whole journal, at every cut`, () => {
    const events = eventsIn(file);
    assert.ok(events.length > 5);
    const whole = encodeState(folded(events));
    const fold = createFold();
    for (const event of events) fold.add(event);
    assert.deepEqual(encodeState(fold.state), whole, 'folded in place');
    for (let cut = 0; cut <= events.length; cut++) {
      const before = encodeState(folded(events.slice(0, cut)));
      const again = decodeState(JSON.parse(JSON.stringify(before)));
      assert.deepEqual(encodeState(again), before, `at ${cut}`);
      assert.deepEqual(encodeState(folded(events.slice(cut), again)), whole, `after ${cut}`);
    }
  });

test('a snapshot of another fold is refused', () => {
  const plain = encodeState(initialState);
  assert.throws(() => decodeState({ ...plain, fold: FOLD + 1 }), /fold/);
});
