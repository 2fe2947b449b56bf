// The chain of a journal: each group names the message before it by its digest, so that none can be lost,
// replaced or put in between without being noticed. Pure. Decides which message may follow which; the first of
// a journal and the first after an older format begin with `journal.begun`.
//
// Messages of format 1 have no chain. They are covered from the moment at which the journal is continued in a
// later format: the first group of that then names the last message of format 1. From format 2 on the chain just goes
// on, and a journal never goes back to an older format.

import { excerpt, foundText, nameText } from '../../core/text/printable.ts';
import { isRow } from './formats/rows.ts';
import { digestOf, type Envelope, namesRelease } from './message.ts';

/** Where a reader or writer stands in a journal: what is known of the newest message that counts. */
export interface Place {
  /** Its sequence; 0 before the first. */
  readonly sequence: number;
  /** Of its bytes; empty before the first. */
  readonly digest: string;
  /** Its number among the groups that count. */
  readonly group: number;
  /** Its format; 0 before the first. */
  readonly format: 0 | 1 | 2 | 3;
  /** The journal's uid; undefined until a group has named it. */
  readonly journal: string | undefined;
  /** The release that wrote last, as far as it has said so; empty: unknown. */
  readonly version: string;
}

/** Before the first message. */
export const BEGINNING: Place = {
  ...{ sequence: 0, digest: '', group: 0, format: 0 },
  ...{ journal: undefined, version: '' },
};

/** The first event of a journal, and of the first group after format 1. It is not part of the state. */
export interface Begun {
  readonly kind: 'journal.begun';
  readonly atMs: number;
  /** The journal's uid. */
  readonly uid: string;
  readonly fleet: string;
  /** Of the program that wrote it. */
  readonly version: string;
  /** The last message of format 1 that is continued. */
  readonly adopts?: number;
}

/** The begin that a group carries, if it carries one. */
export function begunIn(events: Envelope['events']): Begun | undefined {
  const [first] = events;
  return first !== undefined && !isRow(first) && first.kind === 'journal.begun'
    ? (first as Begun)
    : undefined;
}

/** Whether the next group must begin with `journal.begun`. */
export const needsBegun = (place: Place): boolean => place.format < 2;

/** A break of the chain, as a phrase that goes on after "the message". */
export interface Break {
  readonly phrase: string;
  /** The message before is in doubt as well. */
  readonly isBeforeInDoubt?: boolean;
}

/** The place after this message, or why it does not belong there. */
export function follow(
  place: Place,
  message: { readonly sequence: number; readonly data: Uint8Array },
  envelope: Envelope,
): Place | Break {
  const { format } = envelope;
  const found = breakOfOld(place, format) ?? (format === 1 ? undefined : breakOf(place, envelope));
  if (found !== undefined) return found;
  return {
    sequence: message.sequence,
    digest: digestOf(message.data),
    group: format === 1 ? place.group + 1 : envelope.group,
    format,
    journal: envelope.journal ?? place.journal,
    version: versionIn(envelope) ?? place.version,
  };
}

/** Whether a message breaks the chain. */
export const isBreak = (next: Place | Break): next is Break => 'phrase' in next;

function breakOfOld({ format: before }: Place, format: number): Break | undefined {
  if (format >= before) return undefined;
  return {
    phrase: `is of format ${format} and follows one of format ${before}: a coordinator of an older release has written it`,
  };
}

function breakOf(place: Place, envelope: Envelope): Break | undefined {
  const begun = begunIn(envelope.events);
  const { journal, group, before } = envelope;
  if (place.journal !== undefined && journal !== place.journal)
    return { phrase: `is of journal ${journal}, and this is journal ${place.journal}` };
  if (needsBegun(place) !== (begun !== undefined))
    return { phrase: begun === undefined ? 'does not begin with journal.begun' : 'begins the journal again' };
  if (begun !== undefined && begun.uid !== journal)
    return { phrase: `is of journal ${journal} and begins journal ${nameText(begun.uid)}` };
  if ((begun?.adopts ?? place.sequence) !== place.sequence)
    return {
      phrase: `continues a journal of ${foundText(begun?.adopts)} messages of format 1, and ${place.sequence} are there`,
    };
  if (before !== place.digest)
    return place.sequence === 0
      ? { phrase: 'is not the first of its journal' }
      : {
          phrase: `does not continue message ${place.sequence}: one of the two was replaced`,
          isBeforeInDoubt: true,
        };
  if (group !== place.group + 1)
    return { phrase: `is group ${group}, and group ${place.group + 1} belongs there` };
  return undefined;
}

/** The release that a group names. */
function versionIn({ events }: Envelope): string | undefined {
  for (const event of events)
    if (namesRelease(event)) {
      const { version } = event as { version?: unknown };
      if (typeof version === 'string') return excerpt(version);
    }
  return undefined;
}
