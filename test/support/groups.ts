// Messages of a journal for tests, each continuing the one before it.

import { BEGINNING, follow, isBreak, type Place } from '../../coordinator/journal/chain.ts';
import { decodeGroup, encodeGroup, isForeign } from '../../coordinator/journal/message.ts';

/** An event without its time. */
export type Bare = Readonly<Record<string, unknown>> & { readonly kind: string };

/** The events that a journal begins with. */
export const begun = (uid: string, change: Readonly<Record<string, unknown>> = {}): Bare => ({
  ...{ kind: 'journal.begun', uid, fleet: 'local', version: 'test' },
  ...change,
});

/** The message of these events after a place, as the coordinator that leads would write it. */
export function messageAfter(
  place: Place,
  events: readonly Bare[],
  journal = place.journal ?? 'test',
): Buffer {
  const link = { journal, group: place.group + 1, before: place.digest, writer: 'test' };
  return Buffer.from(
    encodeGroup(
      link,
      events.map((event) => ({ atMs: 1, ...event })),
    ),
  );
}

/** Where a journal of these messages stands at its end; throws when they are no chain. */
export function placeAfter(messages: readonly Uint8Array[]): Place {
  let place = BEGINNING;
  for (const [i, data] of messages.entries()) {
    const envelope = decodeGroup(data);
    if (isForeign(envelope)) throw new Error(`message ${i + 1} ${envelope.phrase}`);
    const next = follow(place, { sequence: i + 1, data }, envelope);
    if (isBreak(next)) throw new Error(`message ${i + 1} ${next.phrase}`);
    place = next;
  }
  return place;
}
