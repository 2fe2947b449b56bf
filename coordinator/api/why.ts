// Why a thing is as it is: the decisions of its story from the journal, page by page, and at the end what is
// so now: what its runs wait for, what a worker does, who is in a gang. The queue has no story, it is now alone.

import type { Clock } from '../../core/clock.ts';
import { FleetError, toFleetError } from '../../core/errors.ts';
import { NOUNS, type Noun } from '../../core/text/naming.ts';
import { Decision, type WhyRequest, type WhyResponse } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import type { Journal } from '../journal/journal.ts';
import { sentenceOf } from '../journal/why.ts';
import type { Event } from '../model/events.ts';
import { idOf, theOne } from '../model/find.ts';
import { hasEnded, runOf, type State, sweepWith, trialWith, wholeRunWith } from '../model/state.ts';
import type { Board } from '../scheduling/board.ts';
import { gangText, queueTexts, workerText } from '../scheduling/explained.ts';
import { embeddingText } from './embedding-text.ts';
import { bytesOf, openPage } from './page.ts';
import { classesText, scoringText, searchWait } from './search-progress.ts';
import { openRunsWithin } from './selection.ts';
import { clipped, runView, type ViewContext } from './views.ts';

/** Runs whose wait is shown; what keeps one of a search waiting keeps all of it. */
const WAITS_MAX = 20;

/** What the search of a sweep waits for, asked of the sweep or of the trial that it waits for. */
function searchWaitOf(state: State, id: string): string | undefined {
  const trial = trialWith(state, id);
  const sweep = sweepWith(state, trial?.sweepId ?? id);
  if (sweep === undefined) return undefined;
  const wait = searchWait(state, sweep);
  if (trial !== undefined) return wait?.trial === trial.number ? `${sweep.id} ${wait.text}` : undefined;
  const text = wait?.text ?? scoringText(sweep);
  return text === undefined ? undefined : `${sweep.id} ${text}`;
}

/** What is asked, and what the answer is made from. */
interface Parts {
  readonly context: ViewContext;
  readonly board: Board;
  readonly journal: Pick<Journal, 'story'>;
  readonly clock: Clock;
}

/** Decisions about who trains a run. */
const OF_GANG: ReadonlySet<Event['kind']> = new Set([
  ...(['run.assigned', 'run.requeued', 'run.pausing', 'run.paused', 'run.troubled', 'run.blamed'] as const),
  ...(['run.finished', 'run.failed', 'run.cancelled', 'embedding.ended'] as const),
  ...(['work.paused', 'work.resumed', 'work.prioritised'] as const),
]);

/** One page of the story of what a request names, and of what is so now. */
export async function why(parts: Parts, request: WhyRequest): Promise<WhyResponse> {
  const asked = askedFor(parts.context.state, request);
  const { context, journal, clock } = parts;
  const page = openPage<Decision>({ list: asked.list, request, bytesOf: bytesOf(Decision) });
  const answer = () => ({ decisions: page.items, nextPageToken: page.nextPageToken });
  let sequence = page.afterNumber() ?? 0;
  if (asked.kind !== 'queue')
    for await (const { number, event } of journal.story(asked.id, sequence)) {
      sequence = number;
      if (asked.kind === 'gang' && !OF_GANG.has(event.kind)) continue;
      const leaves = asked.kind === 'worker' && event.left?.includes(asked.id) === true;
      const sentence = sentenceOf(event, context.state);
      const text = clipped(leaves ? `${sentence}; ${asked.id} leaves it` : sentence);
      if (!page.take(String(sequence), { sequence, atMs: event.atMs, event: event.kind, text }))
        return answer();
    }
  // The number was given out, and what had it was cut off by `journal truncate`.
  if (asked.kind === 'removed' && sequence === 0) throw asked.unknown;
  // What waits has no event while it waits; the reason why it is so now belongs to the answer all the same.
  for (const text of textsNow(parts, asked)) {
    const now = { sequence, atMs: clock.now(), event: 'now', text: clipped(text) };
    if (!page.take(String(sequence), now)) return answer();
  }
  return answer();
}

/** What a request asks about. */
type Asked =
  | { readonly kind: 'queue'; readonly list: string }
  | { readonly kind: 'gang' | Noun; readonly id: string; readonly list: string }
  /** The journal has its story still; `unknown` is the error where it has none. */
  | { readonly kind: 'removed'; readonly id: string; readonly list: string; readonly unknown: FleetError };

function askedFor(state: State, { id: idOrName, about = '' }: WhyRequest): Asked {
  switch (about) {
    case '': {
      try {
        const { kind, id } = theOne(state, idOrName, NOUNS);
        return { kind, id, list: `why ${id}` };
      } catch (caught) {
        const unknown = toFleetError(caught);
        if (unknown.code !== 'notFound' || !wasGivenOut(state, idOrName)) throw unknown;
        return { kind: 'removed', id: idOrName, list: `why ${idOrName}`, unknown };
      }
    }
    case 'queue':
      if (idOrName !== '') throw new FleetError('invalidArgument', 'id: the queue is one, and has no id');
      return { kind: 'queue', list: 'why queue' };
    case 'gang': {
      const id = idOf(state, 'run', idOrName);
      return { kind: 'gang', id, list: `why gang of ${id}` };
    }
    default:
      throw new FleetError('invalidArgument', `about: ${JSON.stringify(about)} is neither queue nor gang`);
  }
}

/** Whether an id was given to something, which may have left the lists. */
function wasGivenOut({ numbers }: State, id: string): boolean {
  const [, noun, number] = /^(plan|sweep|trial|run)-([1-9]\d*)$/.exec(id) ?? [];
  return noun !== undefined && Number(number) <= numbers[noun as keyof typeof numbers];
}

/** What is so now, and why. */
function* textsNow({ context, board }: Parts, asked: Asked): Generator<string> {
  const { state, waiting } = context;
  if (asked.kind === 'queue') return yield* queueTexts(board, waiting);
  const { kind, id } = asked;
  if (kind === 'removed') return;
  if (kind === 'worker') return yield workerText(board, waiting, id);
  if (kind === 'gang') {
    const run = wholeRunWith(state, id);
    if (run !== undefined && !hasEnded(run)) yield gangText(board, waiting, id);
    return;
  }
  const run = kind === 'run' ? wholeRunWith(state, id) : undefined;
  const embeddings = run && embeddingText(state, run, board.observed);
  if (embeddings !== undefined) yield embeddings;
  const held = searchWaitOf(state, id);
  if (held !== undefined) yield held;
  const sweep = sweepWith(state, id);
  const classes = sweep && classesText(sweep);
  if (classes !== undefined) yield classes;
  let waits = 0;
  for (const runId of openRunsWithin(state, id)) {
    const text = waitText(context, runId, board.observed.now);
    if (text === undefined) continue;
    waits += 1;
    if (waits <= WAITS_MAX) yield text;
  }
  const more = waits - WAITS_MAX;
  if (more > 0) yield more === 1 ? 'another run waits too' : `${more} other runs wait too`;
}

/** What a run waits for: workers, a stage of its teacher, or the store. */
function waitText(context: ViewContext, runId: string, now: number): string | undefined {
  const wait = context.waiting.of(runId);
  if (wait !== undefined) {
    const seconds = Math.max(0, Math.round((now - runOf(context.state, runId).queuedAtMs) / 1000));
    return `${runId} is ${wait.reason}; it waits for ${seconds} s`;
  }
  const run = wholeRunWith(context.state, runId);
  if (run === undefined || hasEnded(run)) return undefined;
  const { state, reason } = runView(context, run, { spec: false });
  return state === 'waiting' ? `${runId} ${reason}` : undefined;
}
