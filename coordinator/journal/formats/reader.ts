// Events of any format as events of the present. Decides which reader belongs to a group: one a format, and
// what an older one wrote is lifted by pure functions.

import type { Event } from '../../model/events.ts';
import { refusalOfEvents } from '../event-schema.ts';
import type { Envelope } from '../message.ts';
import type { Refusal } from './event-checker.ts';
import { lift1, refusalOfEvents1 } from './format-1.ts';

/** The events of a group, without its `journal.begun`; or why they are none. */
export function eventsOf({ format, events }: Envelope): readonly Event[] | Refusal {
  switch (format) {
    case 1:
      return (
        refusalOfEvents1(events) ??
        events.flatMap((event) => lift1(event as Readonly<Record<string, unknown>>))
      );
    case 2: {
      const own = events[0]?.kind === 'journal.begun' ? events.slice(1) : events;
      return refusalOfEvents(own) ?? (own as unknown as readonly Event[]);
    }
  }
}

/** Whether the events of a group are refused. */
export const isRefusal = (events: readonly Event[] | Refusal): events is Refusal => 'phrase' in events;
