// What `why` says of a state that a test has made by hand.

import type { ViewContext } from '../../coordinator/api/views.ts';
import { why } from '../../coordinator/api/why.ts';
import type { Event } from '../../coordinator/model/events.ts';
import type { Observed } from '../../coordinator/model/observed.ts';
import type { State } from '../../coordinator/model/state.ts';
import { createBoard } from '../../coordinator/scheduling/board.ts';
import { waitsOf } from '../../coordinator/scheduling/waits.ts';
import { createProgressBoard } from '../../coordinator/workers/progress-board.ts';
import { systemClock } from '../../core/clock.ts';
import type { WhyRequest } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { storiesOf } from './told.ts';

const STORE = {
  kind: 'ok',
  reason: '',
  usedBytes: 0,
  limitBytes: 0,
  place: '',
  sinceMs: 0,
  streams: [],
} as const;

/** What is said about an id, the queue or a gang, a line each; `events`: what was journalled. */
export async function whyTexts(
  { state, observed, events = [] }: { state: State; observed: Observed; events?: readonly Event[] },
  request: Partial<WhyRequest>,
): Promise<string[]> {
  const board = createBoard();
  board.follow(state, observed);
  const context: ViewContext = {
    ...{ state, progress: createProgressBoard(), waiting: waitsOf(board), connected: observed.connected },
    ...{ lastSeenMs: () => undefined, deviceOf: () => undefined, looked: () => undefined },
    store: { state: STORE, halted: '', blocksDecisions: false },
  };
  const stories = storiesOf(events);
  const journal = { story: (id: string, after?: number) => stories.tell(id, after) };
  const asked = { id: '', pageSize: 0, pageToken: '', ...request };
  const { decisions } = await why({ context, board, journal, clock: systemClock }, asked);
  return decisions.map(({ event, text }) => (event === 'now' ? `now: ${text}` : text));
}
