// The fleet's stream of embeddings: there while an embedding run is open, and no longer. Decides when it is looked at:
// when one begins, and once a second, because a broker that starts again has lost what it had in memory. Whatever goes wrong is logged and
// tried again: without the stream students compute for themselves.

import type { Clock } from '../../core/clock.ts';
import { FleetError, toFleetError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import { ensureEmbeddingStream, removeEmbeddingStream } from '../../core/net/embedding-stream.ts';
import { streamManager } from '../../core/net/jetstream.ts';
import type { NatsConnection } from '../../core/net/nats.ts';
import type { Names } from '../../core/net/subjects.ts';
import type { Event } from '../model/events.ts';
import type { State } from '../model/state.ts';

/** Between two looks, milliseconds. */
const LOOK_MS = 1_000;
/** A request to the broker takes so long at most, milliseconds. */
const REQUEST_MS = 5_000;

/** Whether an embedding run has not ended. */
function sharesEmbeddings({ counts }: Pick<State, 'counts'>): boolean {
  return (['queued', 'running', 'pausing', 'paused'] as const).some(
    (state) => (counts[`run embedding ${state}`] ?? 0) > 0,
  );
}

/** Keeps the stream as this coordinator leads; `stop` leaves it to the next one. */
export function keepEmbeddingStream(options: {
  readonly connection: NatsConnection;
  readonly names: Names;
  /** The bound of the stream. */
  readonly bytesMax: number;
  readonly state: () => State | undefined;
  readonly leads: () => boolean;
  readonly clock: Clock;
  readonly log: Logger;
}): { note(event: Event): void; stop(): Promise<void> } {
  const { connection, names, bytesMax, clock, log } = options;
  const stopping = new AbortController();
  const { signal } = stopping;
  /** Undefined: an earlier coordinator may have left it. */
  let isThere: boolean | undefined;
  let isTroubled = false;
  let inHand = Promise.resolve();

  async function look(state: State): Promise<void> {
    const isWanted = sharesEmbeddings(state);
    if (!isWanted && isThere === false) return;
    const manager = await streamManager(connection, { timeoutMs: REQUEST_MS });
    if (isWanted) await ensureEmbeddingStream(manager, names, bytesMax);
    else await removeEmbeddingStream(manager, names);
    isThere = isWanted;
    isTroubled = false;
  }

  /** One look after the other. */
  const lookNext = () => {
    inHand = inHand.then(async () => {
      const state = options.state();
      if (signal.aborted || state === undefined || !options.leads() || connection.isClosed()) return;
      await look(state).catch((caught: unknown) => {
        const { code, message } = toFleetError(caught);
        if (!isTroubled) log.warn({ code }, `the stream of embeddings: ${message}`);
        isTroubled = true;
      });
    });
    return inHand;
  };
  const watching = (async () => {
    while (!signal.aborted) {
      await lookNext();
      await clock.sleep(LOOK_MS, signal).catch(() => undefined);
    }
  })();
  return {
    /** An embedding run that begins finds the stream there. */
    note(event) {
      if (event.kind === 'run.created' && event.teacherRunId !== undefined) void lookNext();
    },
    async stop() {
      stopping.abort(new FleetError('cancelled', 'the coordinator is stopping'));
      await watching;
    },
  };
}
