import assert from 'node:assert/strict';
import test from 'node:test';
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
  /** Called between two messages that are read. */
  let meanwhile = () => undefined as undefined;
  const stories = createStories({
    async eventsAt(sequence) {
      asked.push(sequence);
      return stored()[sequence - 1]?.events;
    },
    async *readAll() {
      for (const message of stored()) {
        yield message;
        meanwhile();
      }
    },
  });
  return {
    stories,
    asked,
    stored,
    run,
    between(step: () => undefined) {
      meanwhile = step;
    },
  };
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

test('a journal that was read from the middle is read whole once, with what is written meanwhile', async () => {
  const { stories, stored, asked, run, between } = journalOf(20);
  const from = stored().length - 7;
  stories.begin({ isFromStart: false });
  for (const message of stored().slice(from)) stories.take(message);
  let reads = 0;
  between(() => {
    reads += 1;
    if (reads % 20 !== 0) return undefined;
    const before = stored().length;
    run();
    for (const message of stored().slice(before)) stories.take(message);
    return undefined;
  });
  const told = await Promise.all(['trial-1', 'trial-20', 'trial-22'].map((id) => all(stories.tell(id))));
  for (const story of told)
    assert.deepEqual(
      story.map((line) => line.split(' ')[1]),
      STORY,
    );
  const once = reads;
  assert.equal((await all(stories.tell('sweep-1'))).length, stored().length - 2);
  assert.equal(reads, once, 'read once');
  assert.ok(asked.length > 0);
});

test('a journal that is read anew forgets what was there, and a message that is gone is named', async () => {
  const { stories, stored } = journalOf(2);
  for (const message of stored()) stories.take(message);
  stories.begin({ isFromStart: true });
  assert.deepEqual(await all(stories.tell('trial-1')), []);
  for (const message of stored()) stories.take(message);
  stories.take({ sequence: 99, events: stored().at(-1)!.events });
  await assert.rejects(all(stories.tell('trial-2')), {
    code: 'dataLoss',
    message: /^the journal has no message 99 any more; look with `pocketfleet journal check`$/,
  });
});
