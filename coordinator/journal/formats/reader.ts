// Events of any format as events of the present. Decides which reader belongs to a group: one a format, and
// what an older one wrote is lifted by pure functions.

import { foundText } from '../../../core/text/printable.ts';
import type { Event } from '../../model/events.ts';
import { begunIn } from '../chain.ts';
import { refusalOfEvents } from '../event-schema.ts';
import type { Envelope } from '../message.ts';
import type { Refusal } from './event-checker.ts';
import { lift1, refusalOfEvents1 } from './format-1.ts';
import { eventOfRow, isRow, kindOfRow, type Row, rowIds, type Written } from './rows.ts';

/** The events of a group, without its `journal.begun`; or why they are none. */
export function eventsOf({ format, events }: Envelope): readonly Event[] | Refusal {
  switch (format) {
    case 1: {
      const old = events as readonly { readonly kind: string }[];
      return (
        refusalOfEvents1(old) ?? old.flatMap((event) => lift1(event as Readonly<Record<string, unknown>>))
      );
    }
    case 2: {
      const own = withoutBegun(events) as readonly { readonly kind: string }[];
      return refusalOfEvents(own) ?? (own as unknown as readonly Event[]);
    }
    case 3:
      return eventsOfWritten(withoutBegun(events));
  }
}

/** Whether the events of a group are refused. */
export const isRefusal = (events: readonly Event[] | Refusal): events is Refusal => 'phrase' in events;

/** The events of a group for somebody who looks at it, its `journal.begun` and what is no event included. */
export function shownEvents({ events }: Envelope): unknown[] {
  const ids = rowIds();
  return events.map((event) => (isRow(event) && eventOfRow(event, ids)) || event);
}

const withoutBegun = (events: readonly Written[]): readonly Written[] =>
  begunIn(events) === undefined ? events : events.slice(1);

function eventsOfWritten(written: readonly Written[]): readonly Event[] | Refusal {
  const events: Event[] = [];
  const ids = rowIds();
  for (const one of written) {
    if (isRow(one)) {
      const event = eventOfRow(one, ids);
      if (event === undefined) return refusalOfRow(one);
      events.push(event);
      continue;
    }
    const refusal = refusalOfEvents([one]);
    if (refusal !== undefined) return refusal;
    events.push(one as Event);
  }
  return events;
}

function refusalOfRow(row: Row): Refusal {
  const kind = kindOfRow(row);
  return kind === undefined
    ? { phrase: `has a row of the unknown kind ${foundText(row[0])}`, isUnknownKind: true }
    : { phrase: `has a ${kind} event with a wrong row`, isUnknownKind: false };
}
