// Artefacts (checkpoints, evaluation reports) in JetStream: named by a key, stored in chunks named by content, complete
// exactly when their manifest exists. Decides chunking, verification and persistence through broker outages; what the
// bytes mean is format.ts' and the callers'.
//
// Training is reproducible, so whoever stores a key again must store the same bytes: the same digest is no work, another
// one is `dataLoss` that names both. The manifest is created last and never replaced.

import pLimit from 'p-limit';
import { z } from 'zod';
import { type Clock, systemClock } from '../clock.ts';
import { sha256Hex } from '../digest.ts';
import { FleetError, toFleetError } from '../errors.ts';
import {
  isRefusal,
  type KvEntry,
  openBucket,
  type StoredMsg,
  streamClient,
  streamManager,
} from '../net/jetstream.ts';
import type { NatsConnection } from '../net/nats.ts';
import { ARTEFACT_STREAM, artefactChunkSubject, MANIFEST_BUCKET } from '../net/subjects.ts';
import { ASK_AGAIN, retrying, WAIT_FOR_ROOM } from '../retry.ts';
import { checkShape, sentences } from '../text/shape.ts';

const manifestSchema = z.object({
  /** SHA-256 of the whole, hex. */
  digest: z.string().regex(/^[0-9a-f]{64}$/),
  bytes: z.int().min(0),
  chunkBytes: z.int().min(1),
  metadata: z.record(z.string(), z.string()),
});

/** What exists under a key. */
export interface Manifest extends z.infer<typeof manifestSchema> {
  readonly key: string;
  /** When the broker took the manifest, milliseconds since the epoch. */
  readonly storedAtMs: number;
}

export interface ArtefactStore {
  /** Resolves when bytes and manifest are on the broker's disk; `resourceExhausted` when the store is full. */
  putArtefact(artefact: {
    readonly key: string;
    readonly bytes: Uint8Array;
    readonly metadata?: Readonly<Record<string, string>>;
    /** Ends a put that waits. */
    readonly signal?: AbortSignal;
    /**
     * With it a put outlasts a store that is full or silent, for as long as that takes, and goes on where it stopped.
     * Called with the trouble at its begin, and with nothing when it is over.
     */
    readonly onWait?: (trouble: FleetError | undefined) => void;
  }): Promise<Manifest>;
  getManifest(key: string): Promise<Manifest | undefined>;
  /** Manifests whose key matches a filter such as `checkpoint.RUN.*`, in order of storage. */
  listManifests(filter: string): Promise<Manifest[]>;
  /** Verified bytes; `notFound` without a manifest, `dataLoss` when what is stored is not what the manifest names. */
  getArtefact(key: string): Promise<{ readonly bytes: Uint8Array; readonly manifest: Manifest }>;
  /** Resolves as soon as the key exists, however long that takes; rejects with the signal's reason. */
  watchManifest(key: string, signal: AbortSignal): Promise<Manifest>;
}

/** Well below the default largest message of 1 MiB, and in the flat part of the measured throughput. */
const CHUNK_BYTES = 512 * 1024;
/** Chunks under way at once in either direction. */
const WINDOW = 8;
/** A request that was lost with a broker is repeated after this; a slow disk only makes the repetition a duplicate. */
const REQUEST_MS = 2_000;
const LOOK_AGAIN_MS = 2_000;
const LOOK_SOON_MS = 10;

export function createArtefactStore(options: {
  readonly connection: NatsConnection;
  readonly clock?: Clock;
  /** How long an operation goes on trying while the broker is away, milliseconds. */
  readonly deadlineMs?: number;
  /** Ends operations in flight. */
  readonly signal?: AbortSignal;
}): ArtefactStore {
  const { connection } = options;
  const clock = options.clock ?? systemClock;
  const deadlineMs = options.deadlineMs ?? 60_000;
  const timeout = Math.min(REQUEST_MS, deadlineMs);
  const client = streamClient(connection, { timeoutMs: timeout });
  const bucket = onceOpened(() => openBucket(client, MANIFEST_BUCKET, { direct: true }));
  const manager = onceOpened(() => streamManager(connection, { timeoutMs: timeout }));

  /** Tries until the deadline; a refusal by the server and our own errors are final, silence is not. */
  async function persist<T>(
    doing: string,
    work: () => Promise<T>,
    stop: AbortSignal | undefined = options.signal,
  ): Promise<T> {
    return retrying(work, {
      backoff: ASK_AGAIN,
      clock,
      signal: stop,
      withinMs: deadlineMs,
      finalError: (caught, isLate) => {
        const error = toFleetError(caught);
        if (caught instanceof FleetError || isRefusal(caught) || error.code === 'resourceExhausted')
          return toFleetError(error, doing);
        if (!connection.isClosed() && !isLate) return undefined;
        return new FleetError('unavailable', `${doing}: ${error.message}`, { cause: caught });
      },
    });
  }

  /** As `persist`, and with `onWait` without end: the bytes that are stored stay stored, so each chunk waits for itself. */
  async function persistPut<T>(
    doing: string,
    work: () => Promise<T>,
    put: Pick<Parameters<ArtefactStore['putArtefact']>[0], 'signal' | 'onWait'>,
  ): Promise<T> {
    const stop = put.signal ?? options.signal;
    const { onWait } = put;
    if (onWait === undefined) return persist(doing, work, stop);
    const result = await retrying(work, {
      backoff: WAIT_FOR_ROOM,
      clock,
      signal: stop,
      finalError: (caught) => {
        const error = toFleetError(caught, doing);
        return !error.retryable || isRefusal(caught) || connection.isClosed() ? error : undefined;
      },
      onFailure: (caught) => onWait(toFleetError(caught, doing)),
    });
    onWait(undefined);
    return result;
  }

  async function readManifest(key: string, stop?: AbortSignal): Promise<Manifest | undefined> {
    const look = async (): Promise<Manifest | undefined> => {
      const entry = await (await bucket()).get(key);
      return entry === null || entry.operation !== 'PUT' ? undefined : manifestOf(entry);
    };
    return persist(`reading the manifest of ${key}`, look, stop);
  }
  const getManifest = (key: string): Promise<Manifest | undefined> => readManifest(key);

  async function putArtefact({
    key,
    bytes,
    metadata = {},
    ...put
  }: Parameters<ArtefactStore['putArtefact']>[0]): Promise<Manifest> {
    const digest = sha256Hex(bytes);
    const existing = await getManifest(key);
    if (existing !== undefined) return sameOrLost(existing, digest);
    await forEachInWindow(Math.ceil(bytes.length / CHUNK_BYTES), async (chunk) => {
      const data = bytes.subarray(chunk * CHUNK_BYTES, (chunk + 1) * CHUNK_BYTES);
      const store = () =>
        client.publish(artefactChunkSubject(digest, chunk), data, {
          msgID: `${digest}/${chunk}`,
          expect: { streamName: ARTEFACT_STREAM },
          timeout,
        });
      await persistPut(`storing chunk ${chunk} of ${key}`, store, put);
    });
    const value = JSON.stringify({ digest, bytes: bytes.length, chunkBytes: CHUNK_BYTES, metadata });
    const create = async () => {
      try {
        await (await bucket()).create(key, value);
      } catch (caught) {
        // Somebody else, or our own earlier try whose answer was lost, has created it: compared below.
        if (!isRefusal(caught)) throw caught;
      }
    };
    await persistPut(`storing the manifest of ${key}`, create, put);
    const stored = await persist(`reading back the manifest of ${key}`, async () => {
      const found = await getManifest(key);
      // A replica of the bucket may lag behind the one that took the manifest: silence, not an answer.
      if (found === undefined) throw new Error('it is not there yet');
      return found;
    });
    return sameOrLost(stored, digest);
  }

  async function getArtefact(key: string): Promise<{ bytes: Uint8Array; manifest: Manifest }> {
    const manifest = await getManifest(key);
    if (manifest === undefined) throw new FleetError('notFound', `nothing is stored under ${key}`);
    const bytes = new Uint8Array(manifest.bytes);
    await forEachInWindow(Math.ceil(manifest.bytes / manifest.chunkBytes), async (chunk) => {
      const stored = await readChunk(key, manifest.digest, chunk);
      const offset = chunk * manifest.chunkBytes;
      const expected = Math.min(manifest.chunkBytes, manifest.bytes - offset);
      if (stored.data.length !== expected)
        throw new FleetError(
          'dataLoss',
          `chunk ${chunk} of ${key} has ${stored.data.length} bytes instead of ${expected}`,
        );
      bytes.set(stored.data, offset);
    });
    const digest = sha256Hex(bytes);
    if (digest !== manifest.digest)
      throw new FleetError(
        'dataLoss',
        `the stored bytes of ${key} have digest ${digest}, its manifest names ${manifest.digest}`,
        { details: { key, digest, expected: manifest.digest } },
      );
    return { bytes, manifest };
  }

  async function readChunk(key: string, digest: string, chunk: number): Promise<StoredMsg> {
    const subject = artefactChunkSubject(digest, chunk);
    const stored = await persist(`reading chunk ${chunk} of ${key}`, async () =>
      (await manager()).direct.getMessage(ARTEFACT_STREAM, { last_by_subj: subject }),
    );
    if (stored === null)
      throw new FleetError('dataLoss', `chunk ${chunk} of ${key} (${digest}) is not stored any more`);
    return stored;
  }

  async function listManifests(filter: string): Promise<Manifest[]> {
    const entries = await persist(`listing ${filter}`, async () => {
      const found: KvEntry[] = [];
      for await (const entry of await (await bucket()).history({ key: filter })) found.push(entry);
      return found;
    });
    return entries
      .filter((entry) => entry.operation === 'PUT')
      .sort((a, b) => a.revision - b.revision)
      .map(manifestOf);
  }

  /**
   * The broker passes each put on as a core message before it has stored it: a hint that costs no consumer, and after
   * which the key is looked for often. Without a hint (core messages can be lost) it is looked for now and then.
   */
  async function watchManifest(key: string, stop: AbortSignal): Promise<Manifest> {
    let pauseMs = LOOK_AGAIN_MS;
    let wake = new AbortController();
    const hints = connection.subscribe(`$KV.${MANIFEST_BUCKET}.${key}`, {
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
        const manifest = await lookFor(key, stop);
        if (manifest !== undefined) return manifest;
        await clock.sleep(pauseMs, wake.signal).catch(() => {});
        pauseMs = Math.min(LOOK_AGAIN_MS, pauseMs * 1.5);
      }
    } finally {
      stop.removeEventListener('abort', onStop);
      hints.unsubscribe();
    }
  }

  /** A watch outlasts any outage of the broker; only a connection that was closed ends it. */
  async function lookFor(key: string, stop: AbortSignal): Promise<Manifest | undefined> {
    try {
      return await readManifest(key, stop);
    } catch (caught) {
      if (caught instanceof FleetError && caught.code === 'unavailable' && !connection.isClosed())
        return undefined;
      throw caught;
    }
  }

  return { putArtefact, getManifest, listManifests, getArtefact, watchManifest };
}

/** Opens at first use, and again when that failed: the broker may be away while a program starts. */
function onceOpened<T>(open: () => Promise<T>): () => Promise<T> {
  let opened: Promise<T> | undefined;
  return () => {
    opened ??= open().catch((caught: unknown) => {
      opened = undefined;
      throw caught;
    });
    return opened;
  };
}

function sameOrLost(existing: Manifest, digest: string): Manifest {
  if (existing.digest === digest) return existing;
  throw new FleetError(
    'dataLoss',
    `${existing.key} is stored with digest ${existing.digest} and was to be stored with ${digest}; the same run must give the same bytes`,
    { details: { key: existing.key, stored: existing.digest, offered: digest } },
  );
}

function manifestOf(entry: KvEntry): Manifest {
  const damaged = (what: string) =>
    new FleetError(
      'dataLoss',
      `the manifest of ${entry.key} is damaged (revision ${entry.revision} of bucket ${MANIFEST_BUCKET}): ${what}; it was written by something else than this fleet, and \`nats kv del ${MANIFEST_BUCKET} ${entry.key}\` removes it`,
    );
  let value: unknown;
  try {
    value = entry.json();
  } catch {
    throw damaged(`${entry.value.length} bytes that are no JSON`);
  }
  const parsed = checkShape(manifestSchema, value);
  if (!parsed.ok) throw damaged(sentences(parsed.problems).join('; '));
  return { ...parsed.data, key: entry.key, storedAtMs: entry.created.getTime() };
}

/** Runs `work` for 0..count-1, at most WINDOW at once; the first failure ends it. */
async function forEachInWindow(count: number, work: (index: number) => Promise<void>): Promise<void> {
  const limit = pLimit(WINDOW);
  try {
    await limit.map(Array(count).keys(), work);
  } finally {
    limit.clearQueue();
  }
}
