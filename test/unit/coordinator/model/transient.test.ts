// A fold changes in place what it has made itself, and nothing that anybody has seen: decisions, the board and
// whoever reads keep states for as long as they like.

import assert from 'node:assert/strict';
import test from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import type { Event } from '../../../../coordinator/model/events.ts';
import { evolve } from '../../../../coordinator/model/evolve.ts';
import { initialState, type State } from '../../../../coordinator/model/state.ts';
import { Edit } from '../../../../coordinator/model/table.ts';
import { eventsInFixture, journalFixtures } from '../../../support/journal-fixtures.ts';
import { folded, plainOf } from '../../../support/state.ts';
import { grow } from './grown.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const SWEEP = grow({ trials: 60, cancelled: 5, reasonBytes: 10, yamlBytes: 10 }).events;

/** Journals of all formats, and a sweep. */
const JOURNALS: readonly (readonly Event[])[] = [
  ...journalFixtures().map((name) => eventsInFixture(name).flat()),
  SWEEP,
];

/** The events in groups: a group ends behind each of these places. */
function groupsOf(events: readonly Event[], ends: readonly number[]): (readonly Event[])[] {
  const places = [...new Set(ends.map((end) => end % events.length))].sort((a, b) => a - b);
  return [...places, events.length].map((end, at) => events.slice(places[at - 1] ?? 0, end));
}

/** The state after a group that is folded under one edit, as a decision does. */
function afterGroup(before: State, group: readonly Event[]): State {
  const edit = new Edit();
  return group.reduce((state, event) => evolve(state, event, edit), before);
}

const setting = fc.record({
  events: fc.constantFrom(...JOURNALS),
  ends: fc.array(fc.nat({ max: 2_000 }), { maxLength: 12 }),
});

test('a state that was kept is the same after any groups that followed it', () => {
  fc.assert(
    fc.property(setting, ({ events, ends }) => {
      const kept: { readonly state: State; readonly seen: unknown }[] = [];
      let state = initialState;
      for (const group of groupsOf(events, ends)) {
        kept.push({ state, seen: plainOf(state) });
        state = afterGroup(state, group);
      }
      for (const { state: before, seen } of kept) assert.deepEqual(plainOf(before), seen);
      assert.deepEqual(plainOf(state), plainOf(folded(events)));
    }),
    { numRuns: 60 },
  );
});

test('two groups that follow one state do not see each other', () => {
  fc.assert(
    fc.property(setting, ({ events, ends }) => {
      const place = (ends[0] ?? 0) % events.length;
      const [before, after] = [events.slice(0, place), events.slice(place)];
      const state = afterGroup(initialState, before);
      const dropped = plainOf(afterGroup(state, after.slice(0, 20)));
      assert.deepEqual(plainOf(afterGroup(state, after)), plainOf(folded(events)));
      assert.deepEqual(plainOf(afterGroup(state, after.slice(0, 20))), dropped);
    }),
    { numRuns: 40 },
  );
});

test('the newest state keeps none of those before it', async () => {
  const passed: WeakRef<State>[] = [];
  let state = initialState;
  for (let at = 0; at < SWEEP.length; at += 10) {
    state = afterGroup(state, SWEEP.slice(at, at + 10));
    passed.push(new WeakRef(state));
  }
  // What a reference was made of in this turn stays until its end.
  await setImmediate();
  collectGarbage();
  passed.pop();
  assert.ok(passed.length > 20);
  assert.equal(passed.filter((one) => one.deref() !== undefined).length, 0);
  assert.deepEqual(plainOf(state), plainOf(folded(SWEEP)));
});
