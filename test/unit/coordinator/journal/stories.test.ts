import assert from 'node:assert/strict';
import test from 'node:test';
import { createJournalIndex } from '../../../../coordinator/journal/journal-index.ts';
import { createStories, type TakenMessage, type Told } from '../../../../coordinator/journal/stories.ts';
import { createSweepFleet } from '../../../support/sweep-fleet.ts';

/** A journal of so many trials, each of whose events is a message; it can grow. */
function journalOf(trials: number) {
  const fleet = createSweepFleet(1);
  const asked: number[] = [];
  const stored = (): TakenMessage[] =>
    fleet.events.map((event, at) => ({ sequence: at + 1, events: [event] }));
  const run = () => {
    const number = fleet.propose();
    fleet.assign(number, 'w1');
    fleet.finish(number, 0.5);
  };
  for (let n = 0; n < trials; n++) run();
  const stories = createStories(async (sequence) => {
    asked.push(sequence);
    return stored()[sequence - 1]?.events;
  });
  return { stories, asked, stored, run };
}

async function all(told: AsyncIterable<Told>): Promise<string[]> {
  const lines: string[] = [];
  for await (const { number, event } of told) lines.push(`${number} ${event.kind}`);
  return lines;
}

const STORY = ['trial.proposed', 'trial.attempted', 'run.assigned', 'run.finished', 'trial.ended'];

test('a story is read from its own messages alone, and goes on after any of its events', async () => {
  const { stories, stored, asked } = journalOf(200);
  for (const message of stored()) stories.take(message);
  const story = await all(stories.tell('trial-100'));
  // Three events come before the first trial, and each trial has five.
  assert.deepEqual(
    story,
    STORY.map((kind, at) => `${3 + 99 * 5 + 1 + at} ${kind}`),
  );
  assert.equal(asked.length, 5);
  assert.deepEqual(await all(stories.tell('trial-100', 500)), story.slice(2));
  assert.deepEqual(await all(stories.tell('trial-100', 503)), []);
  assert.deepEqual(await all(stories.tell('nobody')), []);
  assert.equal(asked.length, 8);
  asked.length = 0;
  for await (const { number } of stories.tell('sweep-1')) if (number > 10) break;
  assert.ok(asked.length <= 16, `${asked.length} messages for the first ten`);
});

test('a journal that is read from the middle has the index of what came before', async () => {
  const { stories, stored, asked, run } = journalOf(20);
  const from = stored().length - 7;
  const known = createJournalIndex();
  for (const { sequence, events } of stored().slice(0, from)) known.add(sequence, events);
  stories.begin(createJournalIndex(known.encoded()));
  for (const message of stored().slice(from)) stories.take(message);
  const story = stories.tell('sweep-1');
  await story.next();
  const before = stored().length;
  run();
  for (const message of stored().slice(before)) stories.take(message);
  let told = 1;
  for await (const _ of story) told += 1;
  assert.equal(told, before - 2, 'what is written while a story is told is no part of it');
  asked.length = 0;
  for (const id of ['trial-1', 'trial-20', 'trial-21']) {
    const lines = await all(stories.tell(id));
    assert.deepEqual(
      lines.map((line) => line.split(' ')[1]),
      STORY,
    );
  }
  assert.equal(asked.length, 15);
});

test('a journal that is read anew forgets what was there, and a message that is gone is named', async () => {
  const { stories, stored } = journalOf(2);
  for (const message of stored()) stories.take(message);
  stories.begin();
  assert.deepEqual(await all(stories.tell('trial-1')), []);
  for (const message of stored()) stories.take(message);
  stories.take({ sequence: 99, events: stored().at(-1)!.events });
  await assert.rejects(all(stories.tell('trial-2')), {
    code: 'dataLoss',
    message: /^the journal has no message 99 any more; look with `pocketfleet journal check`$/,
  });
});
