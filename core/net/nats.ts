// The door to the broker: how a program connects, and which streams and buckets must exist. Decides
// connection options, retention, and which properties of a stream that exists are brought up to date.
//
// Coordinator and workers may all ensure the streams at once: for the server it is no error to create a
// stream with the configuration that it has.

import {
  DiscardPolicy,
  JetStreamApiError,
  type JetStreamManager,
  RetentionPolicy,
  StorageType,
  StoreCompression,
  type StreamConfig,
  type StreamInfo,
} from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { type Clock, systemClock } from '../clock.ts';
import { FleetError, toFleetError } from '../errors.ts';
import { CONNECT, retrying } from '../retry.ts';
import {
  AUTHENTICATION_TIMEOUT,
  authenticatorOf,
  type BrokerAddress,
  refusalText,
  serversOf,
  tlsFilesOf,
} from './broker-address.ts';
import { followWithRequests } from './connection-status.ts';
import { openLink } from './data-link.ts';
import { isStreamMissing, streamManager } from './jetstream.ts';
import type { Names } from './subjects.ts';
import { readTlsFiles } from './tls-files.ts';

export type { NatsConnection } from '@nats-io/transport-node';

/** Where to connect, under which name, and how long to wait for the first connection. */
export interface ConnectOptions extends BrokerAddress {
  /** The name that the broker shows for the connection, e.g. `worker-1 data`. */
  readonly name: string;
  /** true: the connection never receives what it published itself, which saves a delivery. */
  readonly noEcho?: boolean;
  /** What the subjects begin with at which answers arrive; without it `_INBOX`. */
  readonly inboxPrefix?: string;
  /** How long the first connection may take while the broker starts, milliseconds. */
  readonly waitMs?: number;
  readonly clock?: Clock;
  readonly signal?: AbortSignal;
}

/**
 * Connects, waiting for a broker that is still starting; once connected it comes back after any outage, for
 * ever.
 */
export async function connectNats(options: ConnectOptions): Promise<NatsConnection> {
  const servers = serversOf(options.url).map(
    ({ host, port }) => `${host.includes(':') ? `[${host}]` : host}:${port}`,
  );
  const files = tlsFilesOf(options);
  const authenticator = authenticatorOf(options);
  const dialOnce = () =>
    connect({
      servers,
      name: options.name,
      // The client reads the files at each dial, so that a new certificate counts from the next connection on.
      ...(files === undefined ? {} : { tls: files }),
      ...(authenticator === undefined ? {} : { authenticator }),
      ...(options.inboxPrefix === undefined ? {} : { inboxPrefix: options.inboxPrefix }),
      noEcho: options.noEcho ?? false,
      // A broker may get its keys back, and a worker newer rights: no refusal ends a connection that was up.
      ignoreAuthErrorAbort: true,
      maxReconnectAttempts: -1,
      reconnectTimeWait: CONNECT.firstMs,
      reconnectJitter: CONNECT.maxMs - CONNECT.firstMs,
      // A hung broker is noticed in seconds, not in the default four minutes.
      pingInterval: 5_000,
      maxPingOut: 2,
      timeout: 5_000,
    });
  const dial = async () => {
    try {
      if (files !== undefined) readTlsFiles(files);
      return await dialOnce();
    } catch (caught) {
      throw (isAuthorization(caught) ? undefined : await encryptionFailure(options)) ?? caught;
    }
  };
  const connection = await retrying(dial, {
    backoff: CONNECT,
    clock: options.clock ?? systemClock,
    signal: options.signal,
    withinMs: options.waitMs ?? 15_000,
    finalError: (caught, isLate) => connectFailure(caught, isLate, options),
  });
  followWithRequests(connection);
  return connection;
}

const isAuthorization = (caught: unknown): caught is Error =>
  caught instanceof Error && caught.name === 'AuthorizationError';

/** What ends the dialling: a refusal that no further attempt changes, or the end of the time for it. */
function connectFailure(caught: unknown, isLate: boolean, options: ConnectOptions): FleetError | undefined {
  const { url } = options;
  if (isAuthorization(caught) && !AUTHENTICATION_TIMEOUT.test(caught.message))
    return new FleetError('unauthenticated', refusalText(url, { name: options.name, address: options }), {
      cause: caught,
    });
  if (caught instanceof FleetError && !caught.retryable) return caught;
  if (!isLate) return undefined;
  const { message } = toFleetError(caught);
  return new FleetError('unavailable', `no broker answers at ${url}: ${message}`, { cause: caught });
}

/**
 * What the lean connection finds wrong with encryption or a certificate, in place of the official client's error,
 * which has no code for most of it; undefined when it is something else.
 */
async function encryptionFailure(options: ConnectOptions): Promise<FleetError | undefined> {
  const ignore = {
    begin: () => 'skip' as const,
    message: () => undefined,
    onPong: () => undefined,
    onDenied: () => undefined,
    refusal: (place: string) => refusalText(place, { name: options.name, address: options }),
  };
  try {
    const files = tlsFilesOf(options);
    const tls = files && { ...readTlsFiles(files), caFile: files.caFile };
    const common = { tls, authenticator: authenticatorOf(options), name: options.name, noEcho: false };
    for (const server of serversOf(options.url)) (await openLink({ server, ...common, ...ignore })).close();
  } catch (caught) {
    const error = toFleetError(caught);
    if (error.code === 'failedPrecondition' || error.code === 'invalidArgument') return error;
  }
  return undefined;
}

const SECOND_NS = 1_000_000_000;
const DAY_NS = 86_400 * SECOND_NS;

type StreamPlan = Partial<StreamConfig> & { readonly name: string };

/**
 * What all streams have. A mistyped command can delete or purge nothing; a chunk is freed by an empty one
 * that is stored in its place. Limits in bytes are applied later, to streams that exist.
 */
const common = {
  retention: RetentionPolicy.Limits,
  storage: StorageType.File,
  allow_direct: true,
  deny_delete: true,
  deny_purge: true,
} as const;

const journalPlan = (names: Names): StreamPlan => ({
  ...common,
  name: names.journalStream,
  subjects: [names.journalSubject, names.journalMarkSubject],
  description: 'decisions of the coordinator, in order',
  discard: DiscardPolicy.New,
  // What messages have in common, ids above all, is stored once for many of them.
  compression: StoreCompression.S2,
});

const streamPlans = (names: Names): readonly StreamPlan[] => [
  {
    ...common,
    name: names.artefactStream,
    subjects: [names.chunkSubjects],
    description: 'chunks of checkpoints and reports, by content',
    // Chunks are named by content: storing one again replaces it by itself.
    max_msgs_per_subject: 1,
    // The empty message that frees a chunk goes by itself.
    allow_msg_ttl: true,
    discard: DiscardPolicy.New,
  },
  {
    ...common,
    name: names.snapshotStream,
    subjects: [names.snapshotSubject('*', '*')],
    description: 'snapshots of the state of the coordinator',
    max_msgs_per_subject: 1,
    discard: DiscardPolicy.New,
  },
  {
    ...common,
    name: names.historyStream,
    subjects: [names.historySubjects],
    description: 'step points of runs',
    // A batch that is sent again carries the same message id.
    duplicate_window: 600 * SECOND_NS,
    discard: DiscardPolicy.Old,
    // A message has at least one point, and a run has some two thousand of them (worker/run/history.ts): the
    // limit leaves room for batches of one point and for those that members of later generations repeat.
    max_msgs_per_subject: 100_000,
  },
  {
    ...common,
    name: names.logStream,
    subjects: [names.logSubjects],
    description: 'log lines of workers',
    discard: DiscardPolicy.Old,
    // A message has at least one line: the newest 10,000 lines of a worker about a run stay, or more.
    max_msgs_per_subject: 10_000,
    max_age: 14 * DAY_NS,
  },
];

const bucketPlans = (names: Names) => [
  { name: names.manifestBucket, description: 'manifests of artefacts' },
  { name: names.fleetBucket, description: 'what the fleet remembers beside its journal' },
];

/**
 * Creates what does not exist and leaves what does; waits for a JetStream that is still starting. The error
 * is `failedPrecondition` when the broker refuses, `resourceExhausted` when it has no room, `unavailable`
 * when it does not answer.
 */
export async function ensureStreams(
  connection: NatsConnection,
  names: Names,
  options: {
    readonly clock?: Clock;
    readonly waitMs?: number;
    readonly replicas?: Replicas;
    /** false: the journal's stream is not created, because the caller first finds out whether it is lost. */
    readonly journal?: boolean;
  } = {},
): Promise<void> {
  const { journal = 0, store = 0 } = options.replicas ?? {};
  const create = async () => {
    const manager = await streamManager(connection);
    if (options.journal !== false) await ensureStream(manager, journalPlan(names), journal);
    for (const stream of streamPlans(names)) await ensureStream(manager, stream, store);
    const kv = new Kvm(connection);
    for (const { name, description } of bucketPlans(names)) {
      // What is remembered of the journal is kept as safely as the journal.
      const replicas = name === names.fleetBucket ? journal : store;
      await ensureBucket({ manager, kv, name, description, replicas });
    }
  };
  await retrying(create, {
    backoff: CONNECT,
    clock: options.clock ?? systemClock,
    withinMs: options.waitMs ?? 15_000,
    finalError: (caught, isLate) => {
      const { code, message } = toFleetError(caught);
      const refused =
        caught instanceof JetStreamApiError &&
        (caught.status < 500 || caught.code === REPLICAS_NOT_SUPPORTED);
      const final = refused || code === 'resourceExhausted' || connection.isClosed();
      if (!final && !isLate) return undefined;
      return new FleetError(
        refused ? 'failedPrecondition' : code === 'resourceExhausted' ? code : 'unavailable',
        `creating the streams of the fleet: ${message}`,
        { cause: caught },
      );
    },
  });
}

/** The server's code for several copies without a cluster, under a status of servers that are not ready. */
const REPLICAS_NOT_SUPPORTED = 10074;

/** Copies in a cluster of NATS servers; 0: a new stream gets one, and one that exists keeps its number. */
export interface Replicas {
  /** Of the journal, and of what is remembered beside it. */
  readonly journal: number;
  /** Of everything else. */
  readonly store: number;
}

/** Creates the journal's stream with so many copies, or brings an existing one up to date. */
export async function ensureJournal(connection: NatsConnection, names: Names, replicas = 0): Promise<void> {
  await ensureStream(await streamManager(connection), journalPlan(names), replicas);
}

async function ensureBucket(bucket: {
  readonly manager: JetStreamManager;
  readonly kv: Kvm;
  readonly name: string;
  readonly description: string;
  readonly replicas: number;
}): Promise<void> {
  const { manager, kv, name, description, replicas } = bucket;
  const stream = `KV_${name}`;
  let info: StreamInfo;
  try {
    info = await manager.streams.info(stream);
  } catch (caught) {
    if (!isStreamMissing(caught)) throw caught;
    const common = { storage: StorageType.File, history: 1, allow_direct: true };
    await kv.create(name, { ...common, description, replicas: Math.max(1, replicas) });
    info = await manager.streams.info(stream);
  }
  const { deny_delete, deny_purge, num_replicas, allow_msg_ttl, allow_rollup_hdrs } = info.config;
  // A key is deleted by a mark, which stays possible and may expire. A message with a rollup would take all others
  // of the bucket away, and whoever may write a key could send it.
  const changes = {
    ...(deny_delete ? {} : { deny_delete: true }),
    ...(deny_purge && !allow_rollup_hdrs ? {} : { deny_purge: true, allow_rollup_hdrs: false }),
    ...(allow_msg_ttl ? {} : { allow_msg_ttl: true }),
    ...(replicas === 0 || replicas === num_replicas ? {} : { num_replicas: replicas }),
  };
  if (Object.keys(changes).length > 0) await manager.streams.update(stream, changes);
}

/** Looks before it creates: a server without room refuses to create even a stream that it has. */
async function ensureStream(manager: JetStreamManager, stream: StreamPlan, replicas: number): Promise<void> {
  let info: StreamInfo;
  try {
    info = await manager.streams.info(stream.name);
  } catch (caught) {
    if (!isStreamMissing(caught)) throw caught;
    // Another program may create the same stream at the same time, which is no error.
    info = await manager.streams.add({ ...stream, num_replicas: Math.max(1, replicas) });
  }
  // Another version or an administrator may have created it: limits and age stay, subjects, protection and
  // compression are set, and copies where a number of them is asked for.
  const { config } = info;
  const subjects = [...new Set([...config.subjects, ...(stream.subjects ?? [])])];
  const compression = stream.compression ?? config.compression ?? StoreCompression.None;
  // A server takes this as a change for good.
  const allow_msg_ttl = stream.allow_msg_ttl ?? config.allow_msg_ttl ?? false;
  const num_replicas = replicas === 0 ? config.num_replicas : replicas;
  const isWhole =
    subjects.length === config.subjects.length &&
    config.deny_delete &&
    config.deny_purge &&
    (config.compression ?? StoreCompression.None) === compression &&
    config.num_replicas === num_replicas &&
    (config.allow_msg_ttl ?? false) === allow_msg_ttl;
  if (isWhole) return;
  const wanted = { subjects, deny_delete: true, deny_purge: true, compression, num_replicas, allow_msg_ttl };
  await manager.streams.update(stream.name, wanted);
}
