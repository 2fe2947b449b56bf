// Looks at the broker's store once a second: how full its streams are, whether it takes what is written, and
// whether each stream has its share of the limit. Decides when the limit is looked for again: after each
// connection, because a broker that was started again may have another one, and when the account's limit or the
// size of the disk has changed. What the facts mean is judged in store-state.ts, without this loop.

import { statfs } from 'node:fs/promises';
import type { Clock } from '../../core/clock.ts';
import type { CoordinatorConfig } from '../../core/config.ts';
import { FleetError, toFleetError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import {
  type JetStreamManager,
  openBucket,
  type StreamInfo,
  streamClient,
  streamManager,
} from '../../core/net/jetstream.ts';
import { ensureStreams, type NatsConnection } from '../../core/net/nats.ts';
import {
  applyShares,
  findStoreLimit,
  limitedStreams,
  reserveOf,
  sharesOf,
} from '../../core/net/store-limits.ts';
import type { Names } from '../../core/net/subjects.ts';
import type { Journal } from '../journal/journal.ts';
import {
  judgeStore,
  mustTryWrite,
  type StoreFacts,
  type StoreState,
  shortTwice,
  silenceMs,
} from './store-state.ts';

/** The looks at the store. */
export interface StoreWatch {
  /** As of the last look. */
  readonly state: StoreState;
  /** Ends the looks; resolves when the last one has ended. */
  stop(): Promise<void>;
}

/** Between two looks, milliseconds. */
const LOOK_MS = 1_000;
/** Until it is seen that there is something to look at again, milliseconds. */
const AWAY_MS = 50;
/** Between two looks for what fills a store that is full, milliseconds. */
const HOLDERS_MS = 15_000;
/** How long the broker may take to answer, milliseconds. */
const REQUEST_MS = 2_000;
/** A chunk of a checkpoint with its header: with less room than that the next one is refused. */
const CHUNK_BYTES = 513 * 1024;
const MANIFEST_BYTES = 2 * 1024;

/** Starts to look, at once and then each second while the broker is there. */
export function watchStore(options: {
  readonly connection: NatsConnection;
  readonly names: Names;
  readonly journal: Pick<Journal, 'trouble' | 'clearTrouble'>;
  readonly config: Pick<CoordinatorConfig, 'natsUrl' | 'storeBytesMax' | 'journalReserveBytes' | 'storeDir'>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Some run waits for the store. */
  readonly anyWait: () => boolean;
  /**
   * Whether the broker is there for this coordinator to look at, and since when, on the monotonic clock; a
   * standby leaves the streams and their limits to the leader.
   */
  readonly broker: { readonly connected: boolean; readonly sinceMs: number };
  /** What holds the most of the store, as words; asked while it is full. */
  readonly holders: () => Promise<readonly string[]>;
  /** Called after each look; `news`: it shows something else than the look before. */
  readonly onLook: (state: StoreState, news: boolean) => void;
}): StoreWatch {
  const { connection, names, journal, config, clock, log, broker } = options;
  const streamNames = [names.journalStream, `KV_${names.fleetBucket}`, ...limitedStreams(names)];
  const stopping = new AbortController();
  const place = config.storeDir === '' ? config.natsUrl : config.storeDir;
  let limitBytes = config.storeBytesMax;
  /** The broker's limit is below what the streams have been given. */
  let isOverReserved = false;
  let sharedFor: number | undefined;
  let sharedRoom: string | undefined;
  let silentSince: number | undefined;
  let shortBefore: ReadonlySet<string> = new Set<string>();
  let holders: readonly string[] = [];
  let holdersAskedAt = Number.NEGATIVE_INFINITY;
  const NOTHING_SEEN = { streams: [], place, diskFreeBytes: undefined, silentMs: 0 };
  let state = judgeStore(
    { ...NOTHING_SEEN, limitBytes, refused: undefined, holders },
    undefined,
    clock.now(),
  );

  /** Asks who holds the most, while the store is full and not at each look: that reads every manifest. */
  function followHolders(): void {
    if (state.kind !== 'full') holders = [];
    if (state.kind !== 'full' || clock.monotonic() - holdersAskedAt < HOLDERS_MS) return;
    holdersAskedAt = clock.monotonic();
    options.holders().then(
      (found) => {
        holders = found;
      },
      (caught: unknown) => log.debug(toFleetError(caught, 'looking for what fills the store').message),
    );
  }

  async function look(manager: JetStreamManager): Promise<StoreFacts> {
    const sizes = await Promise.all(
      streamNames.map(async (name) => sizeOf(await infoOf(manager, name), name)),
    );
    const { streams, short } = shortTwice(sizes, shortBefore);
    shortBefore = short;
    const diskFreeBytes = config.storeDir === '' ? undefined : await freeBytes(config.storeDir);
    const isTroubled = journal.trouble !== undefined;
    const asks = mustTryWrite({
      ...{ isTroubled, anyWait: options.anyWait(), kind: state.kind },
      // Only a write shows whether a store that has less than it gave away takes any more.
      limitBytes: isOverReserved ? 0 : limitBytes,
    });
    const refused = asks ? await tryWrite() : undefined;
    followHolders();
    return { streams, limitBytes, place, diskFreeBytes, refused, silentMs: silentMs(), holders };
  }

  /**
   * Undefined for a journal that is missing or not made yet, which is judged where the journal is read; any
   * other stream must be there.
   */
  async function infoOf(manager: JetStreamManager, name: string): Promise<StreamInfo | undefined> {
    try {
      return await manager.streams.info(name);
    } catch (caught) {
      if (name === names.journalStream && toFleetError(caught).code === 'unavailable') return undefined;
      throw caught;
    }
  }

  function sizeOf(info: StreamInfo | undefined, name: string): StoreFacts['streams'][number] {
    return {
      name,
      bytes: info?.state.bytes ?? 0,
      bytesMax: Math.max(0, info?.config.max_bytes ?? 0),
      needsBytes: needsBytes(name),
    };
  }

  /** A checkpoint comes in chunks, a manifest needs little more room than its text. */
  function needsBytes(name: string): number {
    // The oldest records of these make room by themselves.
    if (name === names.historyStream || name === names.logStream) return 0;
    return name === names.artefactStream ? CHUNK_BYTES : MANIFEST_BYTES;
  }

  function silentMs(): number {
    const { trouble } = journal;
    // A refusal is an answer: the store is full, not silent.
    const isUnanswered = trouble !== undefined && trouble.error.code !== 'resourceExhausted';
    const appendingMs = isUnanswered ? clock.now() - trouble.sinceMs : 0;
    const now = clock.monotonic();
    const probingMs = silentSince === undefined ? 0 : now - silentSince;
    return silenceMs({ connectedMs: now - broker.sinceMs, probingMs, appendingMs });
  }

  /**
   * Writes a few bytes where the journal's memory is and where checkpoints are. Resolves with the words of a
   * refusal.
   */
  async function tryWrite(): Promise<string | undefined> {
    const client = streamClient(connection, { timeoutMs: REQUEST_MS });
    try {
      await client.publish(names.blobChunkSubject('probe', 0), '');
      await (await openBucket(client, names.fleetBucket)).put('probe', '');
      silentSince = undefined;
      journal.clearTrouble();
      return undefined;
    } catch (caught) {
      const error = toFleetError(caught);
      if (error.code === 'resourceExhausted') {
        silentSince = undefined;
        return error.message;
      }
      silentSince ??= clock.monotonic() - REQUEST_MS;
      return undefined;
    }
  }

  /**
   * Once a connection, because a broker that was started again may have another limit, and whenever the limit
   * of the account or the size of the disk has changed.
   */
  async function share(): Promise<void> {
    const room = await roomOutside();
    if (sharedFor === broker.sinceMs && room === sharedRoom) return;
    const connectedAt = broker.sinceMs;
    await ensureStreams(connection, names, { clock, journal: false, waitMs: REQUEST_MS });
    const found = await findStoreLimit(connection, names, config.storeBytesMax).catch((caught: unknown) =>
      toFleetError(caught),
    );
    if (found instanceof FleetError) {
      // Nothing can be changed, and this coordinator goes on with the shares that there are.
      if (found.code !== 'failedPrecondition') throw found;
      log.warn(found.message);
    } else if (found === undefined)
      log.warn(
        'the broker has no limit for its store and none is configured: checkpoints can take the room of the journal; set storeBytesMax',
      );
    else {
      const reserve = reserveOf(found, config.journalReserveBytes);
      await applyShares(connection, names, sharesOf(found, reserve));
      log.info({ limitBytes: found, reserveBytes: reserve }, 'the streams have their shares of the store');
    }
    isOverReserved = found instanceof FleetError;
    limitBytes = found instanceof FleetError ? Number(found.details.reservedBytes) : (found ?? 0);
    sharedFor = connectedAt;
    sharedRoom = room;
  }

  /** What the account may have, and the size of the disk where it can be looked at; as a text to compare. */
  async function roomOutside(): Promise<string> {
    const { limits } = await (await streamManager(connection, { timeoutMs: REQUEST_MS })).getAccountInfo();
    return `${limits.max_storage} ${config.storeDir === '' ? '' : await diskBytes(config.storeDir)}`;
  }

  function take(next: StoreState): void {
    const changed = next.kind !== state.kind;
    const news = changed || next.limitBytes !== state.limitBytes || next.reason !== state.reason;
    state = next;
    options.onLook(next, news);
    if (changed && next.kind !== 'ok') log.error({ state: next.kind }, next.reason);
    if (changed && next.kind === 'ok') log.info('the store takes what is written again');
  }

  async function lookOnce(): Promise<void> {
    try {
      await share();
      const manager = await streamManager(connection, { timeoutMs: REQUEST_MS });
      take(judgeStore(await look(manager), state, clock.now()));
    } catch (caught) {
      const error = toFleetError(caught, 'looking at the store');
      // A stream that somebody has deleted is made again.
      if (connection.isClosed()) return;
      sharedFor = undefined;
      const facts = { ...NOTHING_SEEN, limitBytes, holders };
      if (error.code === 'resourceExhausted')
        take(judgeStore({ ...facts, refused: error.message }, state, clock.now()));
      else log.debug({ code: error.code }, error.message);
    }
  }

  const watching = (async () => {
    while (!stopping.signal.aborted) {
      if (broker.connected) await lookOnce();
      await clock.sleep(broker.connected ? LOOK_MS : AWAY_MS, stopping.signal).catch(() => undefined);
    }
  })();

  return {
    get state() {
      return state;
    },
    async stop() {
      stopping.abort();
      await watching;
    },
  };
}

/** Size of the disk of a folder; undefined where it cannot be looked at. */
async function diskBytes(folder: string): Promise<number | undefined> {
  try {
    const { blocks, bsize } = await statfs(folder);
    return blocks * bsize;
  } catch {
    return undefined;
  }
}

async function freeBytes(folder: string): Promise<number | undefined> {
  try {
    const { bavail, bsize } = await statfs(folder);
    return bavail * bsize;
  } catch {
    // The folder is another machine's, or not there yet.
    return undefined;
  }
}
