// Space for the broker's store under `up`: how many bytes it may have, and when nats-server is started again
// because there is more space. A server fixes its limit when it starts, and after a full disk it stores
// nothing more in a stream until it is started again. Both are checked only while the coordinator reports
// that the store refuses writes.

import { readdirSync, statSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '../../../core/clock.ts';
import type { Store } from '../../../proto/gen/pocketfleet/v1/fleet.ts';

const MIB = 1 << 20;
/** Share of the free space: files take more than their content, and logs lie beside the store. */
const FREE_SHARE = 0.9;
const LOOK_MS = 2_000;
/** Milliseconds that a server gets after its start to store what waits. */
const AGAIN_MS = 15_000;

/** Limit of the store in bytes: what it holds plus most of the free space, at most `configured`. */
export async function storeBytesMaxOf(folder: string, configured: number | undefined): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  const room = Math.max(2 * MIB, Math.floor(bytesIn(folder) + bavail * bsize * FREE_SHARE));
  return configured === undefined ? room : Math.min(room, configured);
}

function bytesIn(folder: string): number {
  let bytes = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true }))
    if (entry.isFile())
      bytes += statSync(join(entry.parentPath, entry.name), { throwIfNoEntry: false })?.size ?? 0;
  return bytes;
}

/**
 * Whether a server that was started with `limit` would take more if it were started again, and why;
 * undefined: it would not.
 */
export function reasonToRestart(
  store: Pick<Store, 'state'>,
  seen: { readonly limit: number; readonly limitNow: number; readonly freeBytes: number },
): string | undefined {
  if (store.state === 'ok' || seen.freeBytes < 2 * MIB) return undefined;
  if (seen.limitNow > seen.limit * 1.05 + MIB) return 'its store has more room than when it started';
  if (store.state === 'silent') return 'its disk has room again and it still stores nothing';
  return undefined;
}

/** Checks until `signal` aborts. */
export async function keepRoom(options: {
  readonly folder: string;
  readonly configured: number | undefined;
  /** Undefined when the coordinator does not answer. */
  readonly store: () => Promise<Store | undefined>;
  /** Starts nats-server again with this limit. */
  readonly restart: (bytesMax: number, reason: string) => void;
  readonly limit: number;
  readonly signal: AbortSignal;
}): Promise<void> {
  const { folder, configured, signal } = options;
  let { limit } = options;
  let restartedAt = Number.NEGATIVE_INFINITY;
  while (!signal.aborted) {
    await systemClock.sleep(LOOK_MS, signal).catch(() => undefined);
    const store = signal.aborted ? undefined : await options.store();
    if (store === undefined || systemClock.monotonic() - restartedAt < AGAIN_MS) continue;
    try {
      const limitNow = await storeBytesMaxOf(folder, configured);
      const { bavail, bsize } = await statfs(folder);
      const reason = reasonToRestart(store, { limit, limitNow, freeBytes: bavail * bsize });
      if (reason === undefined) continue;
      limit = limitNow;
      restartedAt = systemClock.monotonic();
      options.restart(limit, reason);
    } catch {
      // Files come and go while they are counted; the next look counts again.
    }
  }
}
