// Journals of each format that was ever written are read, and fold to the state that they had.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BEGINNING } from '../../../../../coordinator/journal/chain.ts';
import { groupAfter, truncationIn } from '../../../../../coordinator/journal/journal-reader.ts';
import { foldedAt } from '../../../../../coordinator/journal/opening.ts';
import { sentenceOf } from '../../../../../coordinator/journal/why.ts';
import type { Event } from '../../../../../coordinator/model/events.ts';
import { specOf } from '../../../../../coordinator/model/spec-of.ts';
import {
  initialState,
  isWhole,
  runWith,
  type State,
  trialWith,
} from '../../../../../coordinator/model/state.ts';
import { namesOf, PREFIXES_OF_OLD, prefixesOf } from '../../../../../core/net/subjects.ts';
import { eventsInFixture, journalFixture, journalFixtures } from '../../../../support/journal-fixtures.ts';

/** The events that count, and what they fold to. */
function read(name: string): { state: State; events: Event[] } {
  const messages = journalFixture(name);
  const prefixes = name.startsWith('format-1/') ? PREFIXES_OF_OLD : prefixesOf('local', '0');
  const identity = { names: namesOf(prefixes), fleet: 'local' };
  const mark = messages.findLast(({ subject }) => subject === identity.names.journalMarkSubject);
  let [place, state] = [BEGINNING, initialState];
  const events: Event[] = [];
  const after = mark === undefined ? Number.POSITIVE_INFINITY : truncationIn(mark.data)!.after;
  for (const message of messages) {
    if (message.sequence > after && message.sequence < mark!.sequence) continue;
    const group = groupAfter(identity, place, { ...message, atMs: 0 });
    place = group.place;
    for (const event of group.events) {
      state = foldedAt({ stream: 'PF_JOURNAL', sequence: message.sequence }, state, event);
      events.push(event);
    }
  }
  return { state, events };
}

test('every journal that is kept is read to its end, and each of its events has a sentence', () => {
  assert.ok(journalFixtures().length >= 4);
  for (const name of journalFixtures()) {
    const { events, state } = read(name);
    assert.ok(state.events > 10, name);
    for (const event of events) {
      const sentence = sentenceOf(event, state);
      assert.ok(!/undefined|NaN|\[object/.test(sentence), `${name}: ${sentence}`);
    }
  }
});

const numbered = (noun: string, count: number) => Array.from({ length: count }, (_, i) => `${noun}-${i + 1}`);

const summary = (state: State) => ({
  trials: numbered('trial', 9).flatMap((id) => {
    const trial = trialWith(state, id);
    return trial === undefined ? [] : [[id, trial.state, trial.objectives?.accuracy]];
  }),
  runs: numbered('run', 9).flatMap((id) => {
    const run = runWith(state, id);
    return run === undefined ? [] : [[id, run.state, run.generation]];
  }),
});

test('a sweep in mid-flight is where it was: what is done, what failed, who is to blame', () => {
  const { state } = read('format-1/sweep-in-mid-flight');
  const { trials, runs } = summary(state);
  assert.deepEqual(trials, [
    ['trial-1', 'done', 0.71],
    ['trial-2', 'running', undefined],
    ['trial-3', 'running', undefined],
    ['trial-4', 'running', undefined],
    ['trial-5', 'done', 0.69],
    ['trial-6', 'queued', undefined],
  ]);
  assert.deepEqual(runs, [
    ['run-1', 'done', 1],
    ['run-2', 'failed', 1],
    ['run-3', 'queued', 3],
    ['run-4', 'running', 2],
    ['run-5', 'done', 1],
    ['run-6', 'running', 2],
    ['run-7', 'queued', 0],
  ]);
});

test('what later releases added is there as it was meant before: a journal without it folds to the same', () => {
  const [whole, without] = ['sweep-in-mid-flight', 'without-later-fields'].map((name) =>
    read(`format-1/${name}`),
  );
  assert.deepEqual(summary(without!.state), summary(whole!.state));
  const specs = ({ state }: { state: State }) =>
    numbered('run', 7).flatMap((id) => {
      const run = runWith(state, id)!;
      return isWhole(run) ? [specOf(state, run)] : [];
    });
  assert.deepEqual(specs(without!), specs(whole!));
});

test('what was cut off counts no more', () => {
  const { state } = read('format-1/truncated');
  const { trials, runs } = summary(state);
  assert.deepEqual(
    trials.map(([id, ended]) => `${id} ${ended}`),
    ['trial-1 done', 'trial-2 running', 'trial-3 running', 'trial-4 queued', 'trial-5 queued'],
  );
  assert.equal(runs.length, 5);
});

test('the journals of format 3 have the events of those of format 2', () => {
  for (const name of ['plan-in-mid-training', 'sweep-in-mid-flight', 'truncated'])
    assert.deepEqual(eventsInFixture(`format-3/${name}`), eventsInFixture(`format-2/${name}`));
});
