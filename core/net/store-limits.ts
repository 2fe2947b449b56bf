// How much of JetStream each stream may take, so that the journal always keeps its room. Decides the shares,
// finds the limit that account and server have, and applies the shares to streams that exist.
//
// A server does not report its limit (max_file_store) to an account without a limit of its own, but it
// refuses to reserve more than it has. So the limit is found by asking for reservations: a search over the
// powers of two, then over the bits below, about fifteen requests at each start.

import { toFleetError } from '../errors.ts';
import { type JetStreamManager, streamManager } from './jetstream.ts';
import type { NatsConnection } from './nats.ts';
import { ARTEFACT_STREAM, HISTORY_STREAM, LOG_STREAM, MANIFEST_STREAM } from './subjects.ts';

/**
 * Streams that grow with the work. The journal and the fleet's bucket have no limit of their own and use the
 * rest.
 */
export const LIMITED_STREAMS = [ARTEFACT_STREAM, MANIFEST_STREAM, HISTORY_STREAM, LOG_STREAM] as const;
/** The name of a stream with a limit. */
export type LimitedStream = (typeof LIMITED_STREAMS)[number];
/** Bytes that each of these streams may take. */
export type StoreShares = Readonly<Record<LimitedStream, number>>;

const RESERVE_SHARE = 0.1;
const RESERVE_BYTES_MAX = 2 * 2 ** 30;

/**
 * Bytes kept for the journal: `configured` when it is above 0, else a tenth of the limit and at most 2 GiB,
 * which is room for some 400,000 trials.
 */
export function reserveOf(limitBytes: number, configured = 0): number {
  const wanted = configured > 0 ? configured : Math.min(RESERVE_BYTES_MAX, limitBytes * RESERVE_SHARE);
  // At least half of the store is left to checkpoints: without one a fleet does no work.
  return Math.floor(Math.min(wanted, limitBytes / 2));
}

/**
 * Bytes that each stream may take of a limit. History and logs drop their oldest records; checkpoints get
 * most.
 */
export function sharesOf(limitBytes: number, reserveBytes: number): StoreShares {
  const rest = Math.max(0, Math.floor(limitBytes - reserveBytes));
  const part = (share: number) => Math.max(1, Math.floor(rest * share));
  const [manifests, history, logs] = [part(0.03), part(0.07), part(0.05)];
  return {
    [ARTEFACT_STREAM]: Math.max(1, rest - manifests - history - logs),
    [MANIFEST_STREAM]: manifests,
    [HISTORY_STREAM]: history,
    [LOG_STREAM]: logs,
  };
}

/**
 * Bytes that the streams of this account may take together, at most `configuredBytes` when that is not 0;
 * undefined when there is no limit to be found. The search leaves ARTEFACT_STREAM with an arbitrary limit, so
 * `applyShares` has to follow.
 */
export async function findStoreLimit(
  connection: NatsConnection,
  configuredBytes = 0,
): Promise<number | undefined> {
  const manager = await streamManager(connection);
  const { limits } = await manager.getAccountInfo();
  const known = [configuredBytes, limits.max_storage].filter((bytes) => bytes > 0);
  const found = await largestReservation(manager, known.length === 0 ? undefined : Math.min(...known));
  return found ?? (known.length === 0 ? undefined : Math.min(...known));
}

/** Bits below the highest that are searched: the result is at most 1/64 below the true limit. */
const PRECISION_BITS = 6;
const LIMIT_BITS_MAX = 50;
const LIMIT_BITS_MIN = 20;

async function largestReservation(
  manager: JetStreamManager,
  atMost: number | undefined,
): Promise<number | undefined> {
  let others = 0;
  for (const name of LIMITED_STREAMS)
    if (name !== ARTEFACT_STREAM) others += Math.max(0, (await manager.streams.info(name)).config.max_bytes);
  const isFree = async (totalBytes: number) => {
    try {
      await manager.streams.update(ARTEFACT_STREAM, { max_bytes: Math.max(1, totalBytes - others) });
      return true;
    } catch (caught) {
      if (toFleetError(caught).code === 'resourceExhausted') return false;
      throw caught;
    }
  };
  if (atMost !== undefined && (await isFree(atMost))) return atMost;
  // First the power of two, then the bits below it.
  let [low, high] = [LIMIT_BITS_MIN, LIMIT_BITS_MAX];
  if (await isFree(2 ** high)) return undefined;
  if (!(await isFree(2 ** low))) return undefined;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (await isFree(2 ** middle)) low = middle;
    else high = middle;
  }
  let bytes = 2 ** low;
  for (let bit = 1; bit <= PRECISION_BITS; bit++) {
    const next = bytes + 2 ** (low - bit);
    if (await isFree(next)) bytes = next;
  }
  return bytes;
}

/**
 * Sets each stream's `max_bytes`; a stream whose limit is right costs one request. Limits that fall are set
 * first, because those that rise need the room. History and logs keep the records that they have: where those
 * exceed the share, checkpoints get less instead.
 */
export async function applyShares(connection: NatsConnection, shares: StoreShares): Promise<void> {
  const manager = await streamManager(connection);
  const changes: { name: string; from: number; to: number }[] = [];
  let excess = 0;
  for (const name of [...LIMITED_STREAMS].reverse()) {
    const { config, state } = await manager.streams.info(name);
    const from = config.max_bytes;
    const held = name === HISTORY_STREAM || name === LOG_STREAM ? state.bytes : 0;
    const to = name === ARTEFACT_STREAM ? Math.max(1, shares[name] - excess) : Math.max(shares[name], held);
    if (name !== ARTEFACT_STREAM) excess += to - shares[name];
    if (from !== to) changes.push({ name, from: Math.max(from, 0), to });
  }
  changes.sort((a, b) => a.to - a.from - (b.to - b.from));
  for (const { name, to } of changes) await manager.streams.update(name, { max_bytes: to });
}
