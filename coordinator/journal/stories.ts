// The stories of things, read from the journal message by message: only messages that have something of a
// story are asked for, however long the journal is. Which these are is learned as the journal is read and
// written; where that began in the middle, the part before is read once, when somebody first asks.

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
  /** The journal is read again, from its first message or from a later one. */
  begin(options: { readonly isFromStart: boolean }): void;
  /** Takes a message that was read or written; sequences ascend. */
  take(message: TakenMessage): void;
  /** The events of a thing's story after event number `after`, oldest first. */
  tell(id: string, after?: number): AsyncGenerator<Told>;
}

/** Messages that are asked for at once. */
const AT_ONCE = 16;

/** Stories of nothing yet. */
export function createStories(options: {
  /** The events of one message; undefined when it is not there. */
  readonly eventsAt: (sequence: number) => Promise<readonly Event[] | undefined>;
  /** Every message up to what is the last one now. */
  readonly readAll: () => AsyncIterable<TakenMessage>;
}): Stories {
  const { eventsAt, readAll } = options;
  let index = createJournalIndex();
  let isWhole = true;
  let filling: Promise<void> | undefined;

  /** Learns what stands before the message with which reading began. */
  async function fill(): Promise<void> {
    const partial = index;
    const whole = createJournalIndex();
    for await (const { sequence, events } of readAll()) whole.add(sequence, events);
    // What was written meanwhile was taken by the partial one; a journal that was read anew has another.
    while (partial === index && whole.last < partial.last) await followTo(whole, partial.last);
    if (partial !== index) return;
    index = whole;
    isWhole = true;
  }

  async function followTo(whole: JournalIndex, last: number): Promise<void> {
    for (let sequence = whole.last + 1; sequence <= last; sequence++) {
      const events = await eventsAt(sequence);
      if (events !== undefined) whole.add(sequence, events);
    }
  }

  async function whole(): Promise<JournalIndex> {
    while (!isWhole) {
      filling ??= fill().finally(() => {
        filling = undefined;
      });
      await filling;
    }
    return index;
  }

  return {
    begin({ isFromStart }) {
      index = createJournalIndex();
      isWhole = isFromStart;
    },
    take: ({ sequence, events }) => index.add(sequence, events),
    async *tell(id, after = 0) {
      const known = await whole();
      const messages = known.messagesAbout(id);
      let next = firstBehind(messages, (sequence) => known.endOf(sequence) > after);
      for (; next < messages.length; next += AT_ONCE) {
        const sequences = messages.slice(next, next + AT_ONCE);
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

/** The first place whose message satisfies a condition that all later ones satisfy too. */
function firstBehind(messages: readonly number[], isBehind: (sequence: number) => boolean): number {
  let [low, high] = [0, messages.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isBehind(messages[middle]!)) high = middle;
    else low = middle + 1;
  }
  return low;
}
