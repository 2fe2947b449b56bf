// Texts that arrive over the wire, from any client of the protocol. Decides which of them may become a part
// of a subject, a label, a key or a file name, and how long all others may be. One refusal here is cheaper
// than a broker that ends the connection.

import { FleetError } from '../errors.ts';
import { excerpt, foundText } from './printable.ts';

/** The form of a worker's id, which is a part of subjects, a metrics label and the name of a log file. */
export const WORKER_ID = /^[a-z0-9][a-z0-9-]{0,62}$/;
/** The form of a worker's id in words, for refusals. */
export const WORKER_ID_WORDS =
  'lower-case letters, digits and -, at most 63, starting with a letter or digit';

/**
 * The form of a fleet's name, which is a part of every name on the broker. The words that it excludes are
 * first parts of subjects of fleets whose names carry no fleet.
 */
export const FLEET_NAME =
  /^(?!(?:ar|artefact|history|import|journal|logs|presence|snapshot)$)[a-z0-9-]{1,40}$/;
/** The form of a fleet's name in words, for refusals. */
export const FLEET_NAME_WORDS =
  'lower-case letters, digits and -, at most 40, and none of ar, artefact, history, import, journal, logs, presence, snapshot';

/** The form of a part between two dots of a subject: ids of every noun, digests, incarnations. */
const TOKEN = /^[A-Za-z0-9_-]{1,128}$/;

/**
 * The text, where it may be a part of a subject or key; throws `invalidArgument` with the name of the field
 * otherwise.
 */
export function token(field: string, text: string): string {
  if (TOKEN.test(text)) return text;
  throw new FleetError(
    'invalidArgument',
    `${field}: expected letters, digits, _ and -, at most 128, found ${foundText(text)}`,
    { details: { field } },
  );
}

/** Characters that a text for people may have: a reason, a name to look for, the message of a failure. */
const TEXT_CHARS_MAX = 4000;
/** The longest path that Linux takes. */
const PATH_CHARS_MAX = 4096;
/** Fields that are paths, by their names in the protocol. */
const PATHS: ReadonlySet<string> = new Set(['setPath', 'baseDir']);
/** Fields of a submission, whose reader bounds it as a whole. */
const WHOLE: ReadonlySet<string> = new Set(['yaml', 'overrides']);

/** Fields of requests that are no counts; all other numbers are stages, sequences and sizes. */
const RATES: ReadonlySet<string> = new Set(['rateHz']);

/**
 * Throws for a request with a text beyond its limit, in any field: ids and names are looked up, reasons are
 * stored. The same for a number that is none, and for a count that is not whole or that a double does not hold.
 */
export function assertRequestBounded(request: unknown): void {
  for (const [field, value] of Object.entries(request as object)) {
    if (WHOLE.has(field)) continue;
    if (typeof value === 'number') assertNumber(field, value);
    const texts: readonly unknown[] = Array.isArray(value) ? value : [value];
    const most = PATHS.has(field) ? PATH_CHARS_MAX : TEXT_CHARS_MAX;
    for (const text of texts)
      if (typeof text === 'string' && text.length > most)
        throw new FleetError(
          'invalidArgument',
          `${snake(field)}: the text has ${text.length} characters, at most ${most} are taken`,
          { details: { field: snake(field) } },
        );
  }
}

function assertNumber(field: string, value: number): void {
  if (RATES.has(field) ? Number.isFinite(value) : Number.isSafeInteger(value) && value >= 0) return;
  const expected = RATES.has(field) ? 'a number' : `a whole number from 0 to ${Number.MAX_SAFE_INTEGER}`;
  throw new FleetError('invalidArgument', `${snake(field)}: ${expected} is expected, found ${value}`, {
    details: { field: snake(field) },
  });
}

/** A message of another process, cut to the length that is journalled and shown. */
export function boundedText(text: string): string {
  return text.length <= TEXT_CHARS_MAX ? text : `${text.slice(0, TEXT_CHARS_MAX)}…`;
}

/** A field's name in the form of the .proto files. */
function snake(field: string): string {
  return excerpt(field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`));
}
