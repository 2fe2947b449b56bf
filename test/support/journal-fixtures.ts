// The journals of older formats that are kept in test/fixtures/journals.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

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
