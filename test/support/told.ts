// The stories of a journal that is a list of events, one a message.

import { createStories, type Stories } from '../../coordinator/journal/stories.ts';
import type { Event } from '../../coordinator/model/events.ts';

/** Stories of these events. */
export function storiesOf(events: readonly Event[]): Stories {
  const stories = createStories(async (sequence) => events.slice(sequence - 1, sequence));
  for (const [at, event] of events.entries()) stories.take({ sequence: at + 1, events: [event] });
  return stories;
}
