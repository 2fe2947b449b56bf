import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import test from 'node:test';
import { replayed } from './story.ts';

const folder = new URL('./', import.meta.url);
const stories = readdirSync(folder).filter((name) => name.endsWith('.txt'));

test('there are stories, and each begins with what it shows', () => {
  assert.ok(stories.length >= 12, `${stories.length} stories`);
  for (const name of stories)
    assert.match(readFileSync(new URL(name, folder), 'utf8'), /^# \S.*\n(#.*\n)*\n/, name);
});

for (const name of stories)
  test(`the story ${name} is what happens`, () => {
    const file = new URL(name, folder);
    const text = readFileSync(file, 'utf8');
    const now = replayed(text);
    if (process.env.UPDATE_STORIES !== undefined) writeFileSync(file, now);
    else
      assert.equal(
        now,
        text,
        `${name} is no longer what happens; if that is meant: UPDATE_STORIES=1 npm test -- stories`,
      );
  });
