// What stands in the journal where this coordinator's next message should stand, and what follows from it.
// Pure. An append names the sequence that it expects to be the last; when the broker refuses it, the message
// after that sequence says why, unless it is our own: the broker stored it, its answer was lost, and we have
// repeated ourselves.

import { FleetError } from '../../core/errors.ts';
import type { Event } from '../model/events.ts';
import type { Place } from './chain.ts';
import { replacedError } from './journal-memory.ts';
import {
  damageAt,
  groupAfter,
  type Identity,
  type StoredMessage,
  truncatedError,
  truncationIn,
} from './journal-reader.ts';
import { decodeGroup, isForeign } from './message.ts';

/**
 * The error that follows when the journal does not end where this coordinator left it: `dataLoss` when
 * messages are gone or something foreign was published, `cancelled` when it was cut off by `journal truncate`
 * and has to be read again, `failedPrecondition` when it was replaced by another journal, `aborted` when
 * another coordinator leads now.
 */
export function otherWriterError(found: {
  readonly identity: Identity;
  /** Of the newest message that this coordinator has read or written. */
  readonly place: Place;
  /** Where the stream ends; undefined: there is no stream. */
  readonly lastSequence: number | undefined;
  /** The message after that, if there is one. */
  readonly next: StoredMessage | undefined;
  readonly cause?: unknown;
}): FleetError {
  const { identity, place, lastSequence, next, cause } = found;
  const stream = identity.names.journalStream;
  const { sequence } = place;
  if (lastSequence === undefined) return damageAt(stream, sequence + 1, `stream ${stream} is gone`, 0);
  if (lastSequence < sequence)
    return damageAt(
      stream,
      lastSequence + 1,
      `it ends at sequence ${lastSequence} and has reached ${sequence} before`,
    );
  if (next === undefined) return damageAt(stream, sequence + 1, `message ${sequence + 1} is missing`);
  // A mark continues the message that it keeps, which may be any before this place.
  const mark = truncationIn(next.data);
  if (mark !== undefined) return truncatedError(mark.reason);
  const other = replacedBy(place, next);
  if (other !== undefined) return other;
  try {
    groupAfter(identity, place, next);
  } catch (caught) {
    if (caught instanceof FleetError) return caught;
    throw caught;
  }
  return new FleetError(
    'aborted',
    `the lead is lost: another coordinator has written to the journal after sequence ${sequence}`,
    cause === undefined ? {} : { cause },
  );
}

/** The error that makes a reader begin again: a group with the mark of `journal truncate`. */
export function truncationOf(events: readonly Event[]): FleetError | undefined {
  const mark = events.find((event) => event.kind === 'journal.truncated');
  return mark === undefined ? undefined : truncatedError(mark.reason);
}

/** An import has put another journal in its place, whose names differ. */
function replacedBy(place: Place, { data }: StoredMessage): FleetError | undefined {
  const envelope = decodeGroup(data);
  if (isForeign(envelope) || envelope.journal === undefined || place.journal === undefined) return undefined;
  if (envelope.journal === place.journal) return undefined;
  return replacedError(place.journal, envelope.journal);
}
