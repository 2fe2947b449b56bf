// The stories of things, read from the journal message by message: only messages that have something of a
// story are asked for, however long the journal is. Which these are is learned as the journal is read and
// written; where that begins in the middle, a snapshot has what came before.

import { setImmediate } from 'node:timers/promises';
import { FleetError } from '../../core/errors.ts';
import type { Event } from '../model/events.ts';
import { createJournalIndex, type JournalIndex } from './journal-index.ts';

/** An event with its number, counted over the whole journal from 1. */
export interface Told {
  readonly number: number;
  readonly event: Event;
}

/** A message's events. */
export interface TakenMessage {
  readonly sequence: number;
  readonly events: readonly Event[];
}

/** The stories of everything that the journal has. */
export interface Stories {
  /** Where the events of each thing stand, in all messages that were taken. */
  readonly index: JournalIndex;
  /** The journal is read again: from its first message, or from the one behind those that this index has. */
  begin(index?: JournalIndex): void;
  /** Takes a message that was read or written; sequences ascend. */
  take(message: TakenMessage): void;
  /** The events of a thing's story after event number `after`, oldest first. */
  tell(id: string, after?: number): AsyncGenerator<Told>;
}

/** Messages that are asked for at once. */
const AT_ONCE = 16;

/** Stories of nothing yet. `eventsAt`: the events of one message; undefined when it is not there. */
export function createStories(
  eventsAt: (sequence: number) => Promise<readonly Event[] | undefined>,
): Stories {
  let index = createJournalIndex();
  return {
    get index() {
      return index;
    },
    begin(known = createJournalIndex()) {
      index = known;
    },
    take: ({ sequence, events }) => index.add(sequence, events),
    async *tell(id, after = 0) {
      const known = index;
      for await (const sequences of together(known.messagesAbout(id, after))) {
        const read = await Promise.all(sequences.map(eventsAt));
        for (const [at, events] of read.entries()) {
          const sequence = sequences[at]!;
          if (events === undefined)
            throw new FleetError(
              'dataLoss',
              `the journal has no message ${sequence} any more; look with \`pocketfleet journal check\``,
            );
          for (const [place, event] of events.entries()) {
            const number = known.firstEventOf(sequence) + place;
            if (number > after && known.isAbout(event, id)) yield { number, event };
          }
        }
      }
    },
  };
}

/** So many at once as are asked for together; something else has its turn while none is found. */
async function* together(found: Iterable<number | undefined>): AsyncGenerator<number[]> {
  let sequences: number[] = [];
  for (const sequence of found) {
    if (sequence === undefined) await setImmediate();
    else sequences.push(sequence);
    if (sequences.length < AT_ONCE) continue;
    yield sequences;
    sequences = [];
  }
  if (sequences.length > 0) yield sequences;
}
