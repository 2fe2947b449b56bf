// The bytes of one message of the journal: which of them are a group of ours, in which format, and how a group
// becomes bytes. Pure. What the events of a format are is decided in formats/.
//
//   format 1   JSON: { writer, group, events }
//   format 2   JSON: { format, journal, group, count, before, writer, events }, or the byte 2 and that JSON
//              deflated with the dictionary of format 2, where that is shorter
//   format 3   the same with the number 3, its dictionary and another end; common events are rows (formats/rows.ts)
//
// JSON begins with a brace and a deflated message with the number of its format, so that a reader names a
// format that it does not know. A group that names its release is never deflated: an older release names it.

import { isAscii } from 'node:buffer';
import { sha256Hex } from '../../core/digest.ts';
import { excerpt, foundText } from '../../core/text/printable.ts';
import { deflated, inflated, isDeflated } from './deflated.ts';
import { isRow, rowsOf, type Written } from './formats/rows.ts';

/** The format in which this release writes; it reads that and all before it. */
export const FORMAT = 3;

/** What every group says of itself, whatever its format. */
export interface Envelope {
  readonly format: 1 | 2 | 3;
  /**
   * The coordinator that wrote it, a new id at each start. With `group` an own append whose answer was lost
   * is recognised.
   */
  readonly writer: string;
  /** From format 2 on: counts the groups of the journal from 1. Format 1: counts those of one writer. */
  readonly group: number;
  /** From format 2 on: uid of the journal. */
  readonly journal?: string;
  /** From format 2 on: `digestOf` the message before it that counts; empty in the first. */
  readonly before?: string;
  /** As they were written, not yet looked at. */
  readonly events: readonly Written[];
}

/** What a group of the present format carries beside its events. */
export interface Link {
  readonly journal: string;
  readonly group: number;
  readonly before: string;
  readonly writer: string;
}

/** A message that is no group: why, as a phrase that goes on after "the message". */
export interface Foreign {
  readonly phrase: string;
  /** The format that its first bytes name, where this release does not know it. */
  readonly newer?: number;
  /** The release that wrote it, where it says so. */
  readonly version?: string;
}

/** Bytes below which nothing is gained by deflating. */
const DEFLATE_FROM_BYTES = 128;

/** What names a message in the message after it: the first 128 bits of the SHA-256 of its bytes, hex. */
export const digestOf = (bytes: Uint8Array): string => sha256Hex(bytes).slice(0, 32);

/** The bytes of a group in the present format. */
export function encodeGroup(link: Link, group: readonly unknown[]): Uint8Array {
  const { journal, group: number, before, writer } = link;
  const message = { format: FORMAT, journal, group: number, count: group.length, before, writer };
  const json = Buffer.from(JSON.stringify({ ...message, events: rowsOf(group) }));
  if (json.length < DEFLATE_FROM_BYTES || group.some(namesRelease)) return json;
  const shorter = deflated(json);
  return shorter.length >= json.length ? json : shorter;
}

/** Whether an event names the release that wrote it. A group with one stays readable for an older release. */
export function namesRelease(event: unknown): boolean {
  const kind = (event as { readonly kind?: unknown } | null)?.kind;
  return kind === 'journal.begun' || kind === 'coordinator.started';
}

/** What these bytes are. `text`: their text, where it is known already. */
export function decodeGroup(bytes: Uint8Array, text?: Buffer): Envelope | Foreign {
  const [first = 0] = bytes;
  // No JSON begins with a control character.
  if (first > FORMAT && first < 0x20 && !JSON_BLANKS.has(first)) return newerFormat(first, undefined);
  let value: unknown;
  try {
    value = JSON.parse(textOf(text ?? inflated(bytes)));
  } catch {
    const what = isDeflated(bytes) ? 'cannot be inflated' : 'are no JSON';
    return { phrase: `is ${bytes.length} bytes that ${what}` };
  }
  return envelopeOf(value);
}

/** Characters below the first printable one with which JSON may begin. */
const JSON_BLANKS: ReadonlySet<number> = new Set([0x09, 0x0a, 0x0d]);

const UTF_8 = new TextDecoder('utf-8', { fatal: true });

/** Nearly every message is ASCII, of which a text is made in a quarter of the time. */
function textOf(plain: Buffer): string {
  return isAscii(plain) ? plain.toString('latin1') : UTF_8.decode(plain);
}

/** The text of any message, also of one that is no group; undefined when it is deflated and damaged or newer. */
export function readableText(bytes: Uint8Array): string | undefined {
  const [first = 0x20] = bytes;
  if (first < 0x20 && !isDeflated(bytes) && !JSON_BLANKS.has(first)) return undefined;
  try {
    return inflated(bytes).toString('latin1');
  } catch {
    return undefined;
  }
}

/** Whether a message is no group. */
export const isForeign = (decoded: Envelope | Foreign): decoded is Foreign => 'phrase' in decoded;

/** Checked by hand, because a start reads a million events. */
function envelopeOf(value: unknown): Envelope | Foreign {
  const no: Foreign = { phrase: 'is JSON, but no group of events' };
  if (typeof value !== 'object' || value === null) return no;
  const { format, journal, group, count, before, writer, events } = value as Record<string, unknown>;
  if (typeof format === 'number' && format > FORMAT) return newerFormat(format, value);
  if (typeof group !== 'number' || typeof writer !== 'string' || !areWritten(events)) return no;
  if (format !== 3 && events.some(isRow)) return no;
  if (format === undefined) return { format: 1, writer, group, events };
  if ((format !== 2 && format !== 3) || !isText(UID, journal) || !isText(DIGEST, before)) return no;
  if (count !== events.length) return { phrase: `names ${foundText(count)} events and has ${events.length}` };
  return { format, journal, group, before, writer, events };
}

const UID = /^[A-Za-z0-9_-]{1,64}$/;
/** Empty in the first message of a journal. */
const DIGEST = /^(?:[0-9a-f]{32})?$/;
const isText = (form: RegExp, value: unknown): value is string =>
  typeof value === 'string' && form.test(value);
const areWritten = (value: unknown): value is Envelope['events'] =>
  Array.isArray(value) &&
  value.every(
    (event) => Array.isArray(event) || typeof (event as { kind?: unknown } | null)?.kind === 'string',
  );

function newerFormat(format: number, value: unknown): Foreign {
  const written = (value as { events?: unknown } | undefined)?.events;
  const version = (Array.isArray(written) ? written : [])
    .map((event) => (event as { version?: unknown } | null)?.version)
    .find((one): one is string => typeof one === 'string');
  return {
    phrase: `is of format ${format}`,
    newer: format,
    ...(version === undefined ? {} : { version: excerpt(version) }),
  };
}
