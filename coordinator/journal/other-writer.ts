// What stands in the journal where this coordinator's next message should stand, and what follows from it.
// Pure. An append names the sequence that it expects to be the last; when the broker refuses it, the message
// after that sequence says why. It may be our own: the broker stored it, its answer was lost, and we have
// repeated ourselves. Otherwise somebody else has written, or something of the journal is gone.

import { FleetError } from '../../core/errors.ts';
import type { Event } from '../model/events.ts';
import { type Group, parseGroup } from './event-schema.ts';
import { damageAt } from './journal-reader.ts';

/** Whether these bytes are the group that this coordinator appended; undefined: there is no such message. */
export function isOwnGroup(bytes: Uint8Array | undefined, own: Pick<Group, 'writer' | 'group'>): boolean {
  const found = bytes === undefined ? undefined : parseGroup(bytes);
  if (found === undefined || typeof found === 'string') return false;
  return found.writer === own.writer && found.group === own.group;
}

/**
 * The error that follows when the journal does not end where this coordinator left it: `dataLoss` when
 * messages are gone or something foreign was published, `cancelled` when it was cut off by `journal truncate`
 * and has to be read again, `aborted` when another coordinator leads now.
 */
export function otherWriterError(found: {
  /** The journal's stream. */
  readonly stream: string;
  /** Of the newest message that this coordinator has read or written. */
  readonly sequence: number;
  /** Where the stream ends; undefined: there is no stream. */
  readonly lastSequence: number | undefined;
  /** The message after `sequence`, if there is one. */
  readonly next: Uint8Array | undefined;
  readonly cause?: unknown;
}): FleetError {
  const { stream, sequence, lastSequence, next, cause } = found;
  if (lastSequence === undefined) return damageAt(stream, sequence + 1, `stream ${stream} is gone`, 0);
  if (lastSequence < sequence)
    return damageAt(
      stream,
      lastSequence + 1,
      `it ends at sequence ${lastSequence} and has reached ${sequence} before`,
    );
  if (next === undefined) return damageAt(stream, sequence + 1, `message ${sequence + 1} is missing`);
  const group = parseGroup(next);
  if (typeof group === 'string')
    return damageAt(
      stream,
      sequence + 1,
      `the message ${group}; something else than this fleet has published it`,
    );
  const mark = truncationOf(group.events);
  if (mark !== undefined) return mark;
  return new FleetError(
    'aborted',
    `the lead is lost: another coordinator has written to the journal after sequence ${sequence}`,
    cause === undefined ? {} : { cause },
  );
}

/** The error that makes a reader begin again: a group that is a mark of `journal truncate`. */
export function truncationOf([first]: readonly Event[]): FleetError | undefined {
  return first?.kind === 'journal.truncated'
    ? new FleetError('cancelled', `the journal was truncated and is read again: ${first.reason}`)
    : undefined;
}
