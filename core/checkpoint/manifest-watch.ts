// Waiting for a manifest that does not exist yet. Decides how often the key is looked for.
//
// The broker passes each put on as a core message before it has stored it. That is a hint without cost for
// the server; it may be lost, and it may come before the key can be read. So the key is looked for every
// LOOK_AGAIN_MS in any case, and after a hint soon and then at growing pauses. A consumer of the bucket's
// stream would miss nothing, but it is state that the server stores and has to clean up, one for every
// student that waits.

import type { Clock } from '../clock.ts';
import { FleetError } from '../errors.ts';
import type { NatsConnection } from '../net/nats.ts';
import type { Manifest } from './manifest.ts';

/** Pause between two looks without a hint, milliseconds. */
export const LOOK_AGAIN_MS = 2_000;
/** Pause after a hint, milliseconds. */
export const LOOK_SOON_MS = 10;

/**
 * The pause after the next look, given the one after this: half as long again, up to the one without a hint.
 */
export const nextPauseMs = (pauseMs: number): number => Math.min(LOOK_AGAIN_MS, pauseMs * 1.5);

/** Resolves as soon as `look` finds the key, however long that takes; rejects with the signal's reason. */
export async function watchForManifest(options: {
  readonly connection: NatsConnection;
  readonly clock: Clock;
  readonly bucket: string;
  readonly key: string;
  readonly stop: AbortSignal;
  readonly look: () => Promise<Manifest | undefined>;
}): Promise<Manifest> {
  const { connection, clock, stop } = options;
  let pauseMs = LOOK_AGAIN_MS;
  let wake = new AbortController();
  const hints = connection.subscribe(`$KV.${options.bucket}.${options.key}`, {
    callback: () => {
      pauseMs = LOOK_SOON_MS;
      wake.abort();
    },
  });
  const onStop = () => wake.abort();
  stop.addEventListener('abort', onStop);
  try {
    for (;;) {
      stop.throwIfAborted();
      wake = new AbortController();
      const manifest = await lookThroughOutage(options.look, connection);
      if (manifest !== undefined) return manifest;
      await clock.sleep(pauseMs, wake.signal).catch(() => {});
      pauseMs = nextPauseMs(pauseMs);
    }
  } finally {
    stop.removeEventListener('abort', onStop);
    hints.unsubscribe();
  }
}

/** A watch outlasts any outage of the broker; only a connection that was closed ends it. */
async function lookThroughOutage(
  look: () => Promise<Manifest | undefined>,
  connection: NatsConnection,
): Promise<Manifest | undefined> {
  try {
    return await look();
  } catch (caught) {
    if (caught instanceof FleetError && caught.code === 'unavailable' && !connection.isClosed())
      return undefined;
    throw caught;
  }
}
