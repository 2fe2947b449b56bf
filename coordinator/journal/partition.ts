// How a long list of events becomes messages of a bounded size. Pure.

import type { Event } from '../model/events.ts';

/** Bytes of JSON that a message has before it is deflated; more only for one huge event. */
const GROUP_BYTES_MAX = 256 * 1024;

/** Bytes of events as JSON. */
export const jsonBytesOf = (events: readonly Event[]): number => Buffer.byteLength(JSON.stringify(events));

/**
 * Cuts a long list into messages of some GROUP_BYTES_MAX, between decisions. A decision that is larger has a
 * message of its own; one that is too large even for that is cut, and settle() finds its place again.
 */
export function partition(
  events: readonly Event[],
  ends: readonly number[],
  fits: (events: readonly Event[]) => boolean,
): (readonly Event[])[] {
  const parts: Event[][] = [];
  let bytes = GROUP_BYTES_MAX;
  const add = (some: readonly Event[]) => {
    const size = jsonBytesOf(some);
    if (bytes + size > GROUP_BYTES_MAX) {
      parts.push([]);
      bytes = 0;
    }
    parts.at(-1)!.push(...some);
    bytes += size;
  };
  let from = 0;
  for (const end of [...ends, events.length]) {
    const decision = events.slice(from, end);
    from = end;
    if (decision.length === 0) continue;
    if (fits(decision)) add(decision);
    else for (const event of decision) add([event]);
  }
  return parts;
}
