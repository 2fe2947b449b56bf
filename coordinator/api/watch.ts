// The streams of Watch calls. All watchers of one selection at one rate share a feed: a picture that is looked at
// when something has changed, at a bounded rate, and messages that are encoded once. Decides how much time looks
// may take in all, and what a watcher gets that has missed messages: a whole picture.

import type { Clock } from '../../core/clock.ts';
import type { Snapshot, WatchRequest } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { createPicture } from './picture.ts';
import { type Selected, selectedBy } from './selection.ts';
import type { ViewContext } from './views.ts';

const RATE_HZ_DEFAULT = 4;
/** Once an hour; a timer waits for 24 days at most. */
const RATE_HZ_MIN = 1 / 3_600;
const RATE_HZ_MAX = 20;
/** Messages of changes that a feed keeps for watchers that are behind. */
const KEPT_MAX = 16;
/** After a look all looks rest for so many times as long as it took, so that decisions have the processor. */
const REST_FACTOR = 9;

/** The Watch calls of a coordinator. */
export interface Watches {
  /** The stream of one call. Throws when the request names something that does not exist. */
  watch(request: WatchRequest, signal: AbortSignal): AsyncGenerator<Snapshot>;
}

/** What feeds look at. */
interface Sight {
  readonly context: () => ViewContext;
  readonly journalSequence: () => number;
  readonly clock: Clock;
  /** The listener is called after each change. Returns the end of that. */
  readonly onChange: (listener: () => void) => () => void;
}

/** What the watchers of one selection and rate have in common. */
interface Feed {
  /** Grows by one with each message; 0 before the first. */
  readonly version: number;
  readonly finished: boolean;
  /** Looks now, so that a watcher who comes sees what it has just done. */
  look(): void;
  /** What a reader of `version` lacks. */
  since(version: number, changes: boolean): readonly Snapshot[];
  /** Resolves when the feed is beyond `version`, or the signal is aborted. */
  beyond(version: number, signal: AbortSignal): Promise<void>;
  close(): void;
}

/** Watches without any watcher; they use nothing while there is none. */
export function createWatches(sight: Sight): Watches {
  const feeds = new Map<string, { readonly feed: Feed; watchers: number }>();
  const pace = createPace(sight.clock);
  return {
    async *watch(request, signal) {
      const rateHz =
        request.rateHz > 0 ? Math.max(RATE_HZ_MIN, Math.min(RATE_HZ_MAX, request.rateHz)) : RATE_HZ_DEFAULT;
      const selected = selectedBy(sight.context().state, request);
      const key = JSON.stringify([selected, rateHz]);
      const shared = feeds.get(key) ?? { feed: createFeed(sight, { selected, rateHz, pace }), watchers: 0 };
      feeds.set(key, shared);
      shared.watchers += 1;
      try {
        yield* messages(shared.feed, request, signal);
      } finally {
        shared.watchers -= 1;
        if (shared.watchers === 0) {
          shared.feed.close();
          feeds.delete(key);
        }
      }
    },
  };
}

async function* messages(feed: Feed, request: WatchRequest, signal: AbortSignal): AsyncGenerator<Snapshot> {
  feed.look();
  for (let version = 0; !signal.aborted; ) {
    const { finished } = feed;
    const lacking = feed.since(version, request.changes === true);
    version = feed.version;
    yield* lacking;
    if (request.untilFinished && finished) return;
    await feed.beyond(version, signal);
  }
}

function createFeed(
  { context, journalSequence, clock, onChange }: Sight,
  { selected, rateHz, pace }: { selected: Selected; rateHz: number; pace: Pace },
): Feed {
  const picture = createPicture(selected);
  /** The newest messages of changes, that of `version` last. */
  const kept: Snapshot[] = [];
  let version = 0;
  let whole: Snapshot | undefined;
  let moment = { journalSequence: 0, atMs: 0 };
  let isStale = true;
  let failure: unknown;
  const readers = new Set<() => void>();
  const closed = new AbortController();
  let wake: () => void = () => undefined;
  const unfollow = onChange(() => {
    isStale = true;
    wake();
  });
  const look = () => {
    if (!isStale) return;
    isStale = false;
    const beganAt = clock.monotonic();
    moment = { journalSequence: journalSequence(), atMs: clock.now() };
    const message = picture.look(context(), moment);
    pace.rest(clock.monotonic() - beganAt);
    if (message === undefined) return;
    version += 1;
    kept.push(message);
    if (kept.length > KEPT_MAX) kept.shift();
    whole = undefined;
    for (const read of readers) read();
  };
  const lookOn = async () => {
    while (!closed.signal.aborted) {
      await clock.sleep(1000 / rateHz, closed.signal);
      if (!isStale)
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      await pace.turn(closed.signal);
      if (!closed.signal.aborted) look();
    }
  };
  lookOn().catch((caught) => {
    failure = caught;
    for (const read of readers) read();
  });
  return {
    get version() {
      return version;
    },
    get finished() {
      return picture.finished;
    },
    look,
    since(known, changes) {
      const missing = version - known;
      if (missing === 0) return [];
      if (changes && known > 0 && missing <= kept.length) return kept.slice(-missing);
      whole ??= picture.whole(moment);
      return [whole];
    },
    async beyond(known, signal) {
      while (version === known && !signal.aborted) {
        if (failure !== undefined) throw failure;
        await new Promise<void>((resolve) => {
          const read = () => {
            readers.delete(read);
            signal.removeEventListener('abort', read);
            resolve();
          };
          readers.add(read);
          signal.addEventListener('abort', read, { once: true });
        });
      }
    },
    close() {
      unfollow();
      closed.abort();
      wake();
    },
  };
}

/** Keeps the looks of all feeds from taking more than their part of the processor. */
interface Pace {
  /** Notes how long a look took. */
  rest(tookMs: number): void;
  /** Resolves when it is time for another look. */
  turn(signal: AbortSignal): Promise<void>;
}

function createPace(clock: Clock): Pace {
  let freeAt = Number.NEGATIVE_INFINITY;
  return {
    rest(tookMs) {
      freeAt = Math.max(freeAt, clock.monotonic() + REST_FACTOR * tookMs);
    },
    async turn(signal) {
      for (;;) {
        const waitMs = freeAt - clock.monotonic();
        if (waitMs <= 0) return;
        await clock.sleep(waitMs, signal);
      }
    },
  };
}
