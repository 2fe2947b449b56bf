// The journals of older formats that are kept in test/fixtures/journals.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventsOf, isRefusal } from '../../coordinator/journal/formats/reader.ts';
import { decodeGroup, isForeign } from '../../coordinator/journal/message.ts';
import type { Event } from '../../coordinator/model/events.ts';

/** One message as it was stored. */
export interface FixtureMessage {
  readonly sequence: number;
  readonly subject: string;
  readonly data: Uint8Array;
}

interface StoredLine {
  readonly sequence: number;
  readonly subject: string;
  /** One of both is there. */
  readonly text?: string;
  readonly base64?: string;
}

const FOLDER = fileURLToPath(new URL('../fixtures/journals', import.meta.url));

/** `FORMAT/NAME` of every journal that is kept. */
export const journalFixtures = (): string[] =>
  readdirSync(FOLDER, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.jsonl'))
    .map((file) => file.replace(/\.jsonl$/, ''))
    .sort();

/** The messages of one, in order. */
export function journalFixture(name: string): FixtureMessage[] {
  const lines = readFileSync(join(FOLDER, `${name}.jsonl`), 'utf8')
    .trim()
    .split('\n');
  return lines.map((line) => {
    const { sequence, subject, text, base64 } = JSON.parse(line) as StoredLine;
    const data = base64 === undefined ? Buffer.from(text!) : Buffer.from(base64, 'base64');
    return { sequence, subject, data };
  });
}

/** The events of one, message by message, in the newest format. */
export function eventsInFixture(name: string): (readonly Event[])[] {
  return journalFixture(name).map(({ data }) => {
    const group = decodeGroup(data);
    assert.ok(!isForeign(group));
    const events = eventsOf(group);
    assert.ok(!isRefusal(events));
    return events;
  });
}
