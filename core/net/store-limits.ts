// How much of JetStream each stream may take, so that the journal always keeps its room. Decides the shares,
// finds the limit that account and server have, and applies the shares to streams that exist.
//
// A server does not report its limit (max_file_store) to an account without a limit of its own, but it
// refuses to reserve more than it has. So the limit is found by asking for reservations: a search over the
// powers of two, then over the bits below, about fifteen requests at each start.

import { FleetError, toFleetError } from '../errors.ts';
import { type JetStreamManager, streamManager } from './jetstream.ts';
import type { NatsConnection } from './nats.ts';
import type { Names } from './subjects.ts';

/**
 * Streams that grow with the work. The journal and the fleet's bucket have no limit of their own and use the
 * rest.
 */
export const limitedStreams = (names: Names): readonly string[] => [
  names.artefactStream,
  names.manifestStream,
  names.historyStream,
  names.logStream,
];
/** Bytes that each of these may take: chunks of artefacts, their manifests, step points, log lines. */
export interface StoreShares {
  readonly artefacts: number;
  readonly manifests: number;
  readonly history: number;
  readonly logs: number;
}

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
    artefacts: Math.max(1, rest - manifests - history - logs),
    manifests,
    history,
    logs,
  };
}

/**
 * Bytes that the streams of this account may take together, at most `configuredBytes` when that is not 0;
 * undefined when there is no limit to be found; failedPrecondition when the limit was lowered below what the
 * streams have already. The search leaves the stream of artefacts with an arbitrary
 * limit, so `applyShares` has to follow.
 */
export async function findStoreLimit(
  connection: NatsConnection,
  names: Names,
  configuredBytes = 0,
): Promise<number | undefined> {
  const manager = await streamManager(connection);
  const { limits } = await manager.getAccountInfo();
  const known = [configuredBytes, limits.max_storage].filter((bytes) => bytes > 0);
  const found = await largestReservation(manager, names, known.length === 0 ? undefined : Math.min(...known));
  return found ?? (known.length === 0 ? undefined : Math.min(...known));
}

/** Bits below the highest that are searched: the result is at most 1/64 below the true limit. */
const PRECISION_BITS = 6;
const LIMIT_BITS_MAX = 50;
const LIMIT_BITS_MIN = 20;

async function largestReservation(
  manager: JetStreamManager,
  names: Names,
  atMost: number | undefined,
): Promise<number | undefined> {
  let others = 0;
  for (const name of limitedStreams(names))
    if (name !== names.artefactStream)
      others += Math.max(0, (await manager.streams.info(name)).config.max_bytes);
  const isFree = async (totalBytes: number) => {
    try {
      await manager.streams.update(names.artefactStream, { max_bytes: Math.max(1, totalBytes - others) });
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
  if (!(await isFree(2 ** low))) {
    const { max_bytes: own } = (await manager.streams.info(names.artefactStream)).config;
    if (own > 0 && !(await isFree(own + others))) throw overReserved(own + others);
    return undefined;
  }
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

/** A server whose limit was lowered refuses every change of a stream, also one that would make it smaller. */
function overReserved(reservedBytes: number): FleetError {
  return new FleetError(
    'failedPrecondition',
    `the streams of this fleet have ${reservedBytes} bytes of the broker's store, and its limit is below that: the broker refuses to change them. All that is stored stays, but the journal has no reserve of its own; raise the broker's limit to ${reservedBytes} bytes or more`,
    { details: { reservedBytes } },
  );
}

/**
 * Sets each stream's `max_bytes`; a stream whose limit is right costs one request. Limits that fall are set
 * first, because those that rise need the room. History and logs keep the records that they have: where those
 * exceed the share, checkpoints get less instead.
 */
export async function applyShares(
  connection: NatsConnection,
  names: Names,
  shares: StoreShares,
): Promise<void> {
  const manager = await streamManager(connection);
  const changes: { name: string; from: number; to: number }[] = [];
  let excess = 0;
  const look = async (name: string, target: (heldBytes: number) => number) => {
    const { config, state } = await manager.streams.info(name);
    const to = target(state.bytes);
    if (config.max_bytes !== to) changes.push({ name, from: Math.max(config.max_bytes, 0), to });
  };
  const keepingRecords = (share: number) => (heldBytes: number) => {
    excess += Math.max(0, heldBytes - share);
    return Math.max(share, heldBytes);
  };
  await look(names.logStream, keepingRecords(shares.logs));
  await look(names.historyStream, keepingRecords(shares.history));
  await look(names.manifestStream, () => shares.manifests);
  await look(names.artefactStream, () => Math.max(1, shares.artefacts - excess));
  changes.sort((a, b) => a.to - a.from - (b.to - b.from));
  for (const { name, to } of changes) await manager.streams.update(name, { max_bytes: to });
}
