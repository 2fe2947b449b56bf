// Batches of pixels, made ahead of the step that needs them in threads of their own. Decides what is begun
// unasked: the next step of every shard that is asked for, within a bound of bytes.

import { LRUCache } from 'lru-cache';
import type { DataSpec } from '../../spec/data.ts';
import { ANYWHERE, type Roots } from '../../system/file-access.ts';
import { IMAGE_BYTES } from '../images/pixels.ts';
import type { DataFacts } from '../inspection/inspection.ts';
import { type Begun, type DataThreads, startDataThreads } from './data-threads.ts';
import type { Batch, BatchRequest, HalvesFacts, HalvesRequest } from './loader-messages.ts';

export interface Loader {
  readonly facts: DataFacts;
  /** Labels of the set in the order of its classes, as ranges; undefined where a label is its class. */
  readonly labelMap: string | undefined;
  batch(request: BatchRequest): Promise<Batch>;
  /** Sizes of a search's halves; rejected where `strict` refuses the set. */
  halves(request: HalvesRequest): Promise<HalvesFacts>;
  /** Held-out images from..from+count-1, unmirrored: [count, 112, 112, 3]. */
  heldOutImages(from: number, count: number): Promise<Uint8Array>;
  heldOutLabels(): Promise<Int32Array>;
  /** Whether its threads have ended, by `close` or by themselves: everything else is then rejected. */
  hasEnded(): boolean;
  /** Ends the threads; what is still asked for is rejected as cancelled. */
  close(): Promise<void>;
}

/**
 * `threads`: default 1. `aheadBytes`: bound of the batches that are begun or finished before they are asked
 * for. `cacheBytes`: bound of the decoded images that all threads keep together. `cacheDir`: folder of what
 * was found out about data sets. `roots`: folders beneath which files may be read; without them everywhere.
 */
export async function createLoader(options: {
  data: DataSpec;
  threads?: number;
  aheadBytes?: number;
  cacheBytes?: number;
  cacheDir?: string;
  roots?: Roots;
}): Promise<Loader> {
  const {
    data,
    threads = 1,
    aheadBytes = 256 * 2 ** 20,
    cacheBytes = 512 * 2 ** 20,
    cacheDir = '',
    roots = ANYWHERE,
  } = options;
  const pool = startDataThreads({ data, cacheDir, roots, cacheBytes: Math.floor(cacheBytes / threads) });
  try {
    // One thread opens the set, and the others get what it has found.
    pool.start(1, undefined);
    const { facts, heldOutLabels, labelMap, table } = await pool.ask('facts', undefined);
    pool.start(threads - 1, table);
    const ahead = createAhead(pool, aheadBytes);
    return {
      facts,
      labelMap,
      async batch(request) {
        const asked = ahead.take(request) ?? pool.ask('batch', request);
        ahead.begin({ ...request, step: request.step + 1 });
        return asked;
      },
      halves: (request) => pool.ask('halves', request),
      heldOutImages: (from, count) => pool.ask('held-out', { from, count }),
      heldOutLabels: async () => heldOutLabels,
      hasEnded: pool.hasEnded,
      close: () => pool.close(),
    };
  } catch (caught) {
    await pool.close();
    throw caught;
  }
}

/** Batches begun before anybody asked, oldest first. */
interface Ahead {
  begin(request: BatchRequest): void;
  /** The batch, if it was begun; it is then the caller's. */
  take(request: BatchRequest): Promise<Batch> | undefined;
}

function createAhead(pool: DataThreads, bytesMax: number): Ahead {
  // A run that ended or lost a shard leaves batches that nobody will fetch; the oldest make room, or they
  // would take the place of useful ones for ever. Nothing is read here before it is taken, so the least
  // recently used is the oldest.
  const begun = new LRUCache<string, Begun>({
    maxSize: bytesMax,
    dispose: (batch, _key, reason) => {
      if (reason === 'evict') batch.withdraw();
    },
  });
  return {
    begin(request) {
      const key = keyOf(request);
      const size = (request.schedule.batch / request.schedule.shards) * IMAGE_BYTES;
      if (request.step >= request.schedule.stepsTotal || size > bytesMax || begun.has(key)) return;
      // A failure rejects the promise of whoever takes the batch; if it is never taken, the failure has no
      // effect.
      begun.set(key, pool.begin(request), { size });
    },
    take(request) {
      const key = keyOf(request);
      const taken = begun.get(key);
      begun.delete(key);
      taken?.promote();
      return taken?.batch;
    },
  };
}

function keyOf({ schedule, seed, flip, cropFrom, half, step, shard }: BatchRequest): string {
  const { images, batch, shards } = schedule;
  return [images, batch, shards, seed, flip, cropFrom, half?.half, half?.seed, step, shard].join('/');
}
