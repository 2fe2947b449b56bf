// Why a thing is as it is: the decisions of its story from the journal, page by page, and at the end what its
// runs wait for now.

import type { Clock } from '../../core/clock.ts';
import { NOUNS } from '../../core/text/naming.ts';
import { Decision, type WhyRequest, type WhyResponse } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import type { Journal } from '../journal/journal.ts';
import { sentenceOf } from '../journal/why.ts';
import { theOne } from '../model/find.ts';
import { type State, sweepWith, trialWith } from '../model/state.ts';
import type { Waits } from '../scheduling/waits.ts';
import { searchOf } from '../strategies/strategies.ts';
import { bytesOf, openPage } from './page.ts';
import { searchWait } from './search-progress.ts';
import { openRunsWithin } from './selection.ts';
import { clipped } from './views.ts';

/** Runs whose wait is shown; what keeps one of a search waiting keeps all of it. */
const WAITS_MAX = 20;

/** That the search of a sweep waits for a trial, asked of the sweep or of that trial. */
function searchWaitOf(state: State, id: string): string | undefined {
  const trial = trialWith(state, id);
  const sweep = sweepWith(state, trial?.sweepId ?? id);
  const wait = sweep && searchWait(state, sweep);
  if (sweep === undefined || wait === undefined) return undefined;
  const isAsked = trial === undefined || searchOf(sweep.spec).heldBack(sweep.search)?.trial === trial.number;
  return isAsked ? `${sweep.id} ${wait}` : undefined;
}

/** One page of the story of what a request names. */
export async function why(
  parts: {
    readonly state: State;
    readonly waiting: Waits;
    readonly journal: Pick<Journal, 'story'>;
    readonly clock: Clock;
  },
  request: WhyRequest,
): Promise<WhyResponse> {
  const { state, waiting, journal, clock } = parts;
  const { id } = theOne(state, request.id, NOUNS);
  const page = openPage<Decision>({ list: `why ${id}`, request, bytesOf: bytesOf(Decision) });
  const answer = () => ({ decisions: page.items, nextPageToken: page.nextPageToken });
  let sequence = page.afterNumber() ?? 0;
  for await (const { number, event } of journal.story(id, sequence)) {
    sequence = number;
    const text = clipped(sentenceOf(event, state));
    if (!page.take(String(sequence), { sequence, atMs: event.atMs, event: event.kind, text }))
      return answer();
  }
  // A run that waits has no event while it waits; the reason why it waits now belongs to the answer all the
  // same.
  const held = searchWaitOf(state, id);
  if (held !== undefined) {
    const now = { sequence, atMs: clock.now(), event: 'now', text: clipped(held) };
    if (!page.take(String(sequence), now)) return answer();
  }
  let waits = 0;
  for (const runId of openRunsWithin(state, id)) {
    const wait = waiting.of(runId);
    if (wait === undefined) continue;
    waits += 1;
    if (waits > WAITS_MAX) continue;
    const decision = {
      sequence,
      atMs: clock.now(),
      event: 'now',
      text: clipped(`${runId} is ${wait.reason}`),
    };
    if (!page.take(String(sequence), decision)) return answer();
  }
  const more = waits - WAITS_MAX;
  if (more > 0)
    page.take(String(sequence), {
      ...{ sequence, atMs: clock.now(), event: 'now' },
      text: more === 1 ? 'another run waits too' : `${more} other runs wait too`,
    });
  return answer();
}
