// The journal as a file of JSON lines, one a message: `{ sequence, subject, atMs, digest, base64 }`, on request
// with its events. Decides how it is written and read, and how many messages go to the coordinator at once.

import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { resolve } from 'node:path';
import { z } from 'zod';
import { sha256Hex } from '../../../core/digest.ts';
import { advised, FleetError, toFleetError } from '../../../core/errors.ts';
import { formatCount } from '../../../core/report/format.ts';
import { foundText } from '../../../core/text/printable.ts';
import { shaped } from '../../../core/text/shape.ts';
import type { JournalReport } from '../../../proto/gen/pocketfleet/v1/fleet.ts';
import type { FleetClient } from '../client.ts';
import { type FleetOptions, interruptible } from '../context.ts';
import { STDOUT, temporaryBeside } from '../output-file.ts';
import { print, printJson, say } from '../screen/output.ts';

export interface ExportFlags extends FleetOptions {
  readonly output: string;
  readonly events?: boolean;
}

/** Writes all messages, also of a journal that is damaged; exit code 1 then, with the sentence of the damage. */
export async function exportTo(
  client: FleetClient,
  flags: ExportFlags,
  check: () => Promise<JournalReport>,
): Promise<void> {
  const file = journalFile(flags.output, '--output');
  const events = flags.events === true;
  const messages = await interruptible((signal) => writeMessages(client, { file, after: 0, events, signal }));
  const { damage } = await check();
  if (flags.json) printJson({ file, messages, damage });
  else print(`${formatCount(messages)} messages are in ${file}`);
  if (damage === '') return;
  say(damage);
  process.exitCode = 1;
}

/** The path of a file that `option` names for messages. Throws `invalidArgument` for stdout. */
export function journalFile(name: string, option: string): string {
  if (name !== STDOUT) return resolve(name);
  throw new FleetError('invalidArgument', `${option}: messages of a journal go to a file; name one, not -`);
}

/**
 * Writes the messages after a sequence; resolves with their number once they are on disk. The file is there as a whole
 * or not at all: a part of a journal would read like a journal.
 */
export async function writeMessages(
  client: FleetClient,
  to: {
    readonly file: string;
    readonly after: number;
    readonly events: boolean;
    readonly signal: AbortSignal;
  },
): Promise<number> {
  const { file, after, events, signal } = to;
  const part = temporaryBeside(file);
  let handle: number;
  try {
    // The name is taken at once, by an empty file.
    closeSync(openSync(file, 'wx', 0o600));
    handle = openSync(part, 'wx', 0o600);
  } catch (caught) {
    throw toFleetError(caught, `${file} cannot be written`);
  }
  let isWhole = false;
  try {
    let messages = 0;
    const request = { after, events };
    for await (const message of client.follow((service) => service.exportJournal, request, signal)) {
      const { sequence, subject, atMs, data, digest, eventsJson } = message;
      const line = { sequence, subject, atMs, digest, base64: data.toString('base64') };
      const shown = eventsJson === '' ? {} : { events: JSON.parse(eventsJson) as unknown };
      writeSync(handle, `${JSON.stringify({ ...line, ...shown })}\n`);
      messages += 1;
    }
    signal.throwIfAborted();
    fsyncSync(handle);
    renameSync(part, file);
    isWhole = true;
    return messages;
  } finally {
    closeSync(handle);
    if (!isWhole) for (const left of [part, file]) rmSync(left, { force: true });
  }
}

const lineSchema = z.looseObject({
  sequence: z.int().min(1),
  base64: z.base64(),
  digest: z.string().optional(),
});

/** Messages that go to the coordinator at once, and their bytes. */
const SENT_TOGETHER = 500;
const SENT_BYTES_MAX = 1 << 20;
/** How long the coordinator may take for one call, milliseconds: the last one reads the whole journal. */
const CALL_MS = 600_000;

/** Gives a journal to a coordinator that has none yet; it ends then, and its next start begins with that. */
export async function importFrom(client: FleetClient, file: string, options: FleetOptions): Promise<void> {
  let after = 0;
  let batch: { sequence: number; data: Buffer }[] = [];
  let bytes = 0;
  const send = async (finish: boolean) => {
    const messages = batch.map((message) => ({ ...message, ...REST_OF_MESSAGE }));
    const answer = await client.ask((service) => service.importJournal, { after, messages, finish }, CALL_MS);
    after += batch.length;
    batch = [];
    bytes = 0;
    return answer;
  };
  for await (const message of messagesIn(file)) {
    batch.push(message);
    bytes += message.data.length;
    if (batch.length >= SENT_TOGETHER || bytes >= SENT_BYTES_MAX) await send(false);
  }
  const { lastSequence, journal } = await send(true);
  if (options.json) printJson({ lastSequence, journal });
  else
    print(
      `${formatCount(lastSequence)} messages were taken; the coordinator starts again, and begins with them`,
    );
}

/** What an import leaves to the coordinator. */
const REST_OF_MESSAGE = { subject: '', atMs: 0, digest: '', eventsJson: '' };

/** The messages of a file, line by line. Throws `invalidArgument` that names the line which is none. */
export async function* messagesIn(file: string): AsyncGenerator<{ sequence: number; data: Buffer }> {
  const handle = await open(file).catch((caught: unknown) => {
    const error = toFleetError(caught, `${file} cannot be read`);
    throw advised(error, 'name a file that `journal export` has written');
  });
  if ((await handle.stat()).isDirectory()) {
    await handle.close();
    throw new FleetError('invalidArgument', `${file} cannot be read: it is a folder, a file is expected`);
  }
  try {
    let number = 0;
    for await (const line of handle.readLines({ autoClose: false })) {
      number += 1;
      if (line.trim() !== '') yield messageIn(line, `${file}, line ${number}`);
    }
  } finally {
    await handle.close();
  }
}

function messageIn(line: string, where: string): { sequence: number; data: Buffer } {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new FleetError(
      'invalidArgument',
      `${where}: no JSON; a file of \`journal export\` has one message a line`,
    );
  }
  const { sequence, base64, digest } = shaped(lineSchema, value, where);
  const data = Buffer.from(base64, 'base64');
  // The chain of the journal itself says nothing of its last message, and has none in format 1.
  if (digest !== undefined && !sha256Hex(data).startsWith(digest))
    throw new FleetError(
      'invalidArgument',
      `${where}: message ${sequence} is damaged: its bytes do not have the digest ${foundText(digest)}; take another copy`,
    );
  return { sequence, data };
}
