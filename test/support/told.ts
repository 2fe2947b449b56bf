// The stories of a journal that is a list of events, one a message.

import { createStories, type Stories } from '../../coordinator/journal/stories.ts';
import type { Event } from '../../coordinator/model/events.ts';

/** Stories of these events, as they are when somebody asks. */
export function storiesOf(events: readonly Event[]): Stories {
  const stories = createStories({
    eventsAt: async (sequence) => events.slice(sequence - 1, sequence),
    async *readAll() {
      for (const [at, event] of events.entries()) yield { sequence: at + 1, events: [event] };
    },
  });
  stories.begin({ isFromStart: false });
  return stories;
}
