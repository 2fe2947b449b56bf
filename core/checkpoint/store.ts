// Artefacts (checkpoints, evaluation reports) in JetStream: named by a key, stored in chunks named by
// content, complete exactly when their manifest exists. Decides the order of what is stored and read, so that
// a key never stands for bytes that are not there.
//
//   put   manifest exists? ── same digest: nothing to do; another: dataLoss
//         └─ no ─► chunks, by content ─► manifest, created once ─► read back and compared
//   get   manifest ─► chunks, each of the length that it names ─► SHA-256 of the whole
//
// Training is reproducible, so whoever stores a key again must store the same bytes. The manifest is created
// last and never replaced. Chunks without a manifest are no artefact: a put that was killed leaves them, and
// the next put of the same bytes stores the same chunks under the same names. Two workers that store one key
// at the same time both try to create its manifest, the broker lets one of them succeed, and the other finds
// the same digest.

import pLimit from 'p-limit';
import { type Clock, systemClock } from '../clock.ts';
import { sha256Hex } from '../digest.ts';
import { FleetError } from '../errors.ts';
import { isRefusal, type KvEntry, openBucket, streamClient, streamManager } from '../net/jetstream.ts';
import type { NatsConnection } from '../net/nats.ts';
import type { Names } from '../net/subjects.ts';
import { CHUNK_BYTES, checkChunk, checkWhole, chunkCount, chunkRange } from './artefact-chunks.ts';
import { keptManifest, type Manifest, manifestOf, manifestText } from './manifest.ts';
import { watchForManifest } from './manifest-watch.ts';
import { createPersistence, onceOpened, type Waiting } from './persistence.ts';

export type { Manifest } from './manifest.ts';

export interface Artefact extends Waiting {
  readonly key: string;
  readonly bytes: Uint8Array;
  readonly metadata?: Readonly<Record<string, string>>;
}

export interface ArtefactStore {
  /**
   * Resolves when bytes and manifest are on the broker's disk; `resourceExhausted` when the store is full.
   */
  putArtefact(artefact: Artefact): Promise<Manifest>;
  getManifest(key: string): Promise<Manifest | undefined>;
  /** Manifests whose key matches a filter such as `checkpoint.RUN.*`, in order of storage. */
  listManifests(filter: string): Promise<Manifest[]>;
  /**
   * Verified bytes; `notFound` without a manifest, `dataLoss` when what is stored is not what the manifest
   * names.
   */
  getArtefact(key: string): Promise<{ readonly bytes: Uint8Array; readonly manifest: Manifest }>;
  /** Resolves as soon as the key exists, however long that takes; rejects with the signal's reason. */
  watchManifest(key: string, signal: AbortSignal): Promise<Manifest>;
}

/** Chunks under way at once in either direction. */
const WINDOW = 8;
/**
 * A request that was lost with a broker is repeated after this; a slow disk only makes the repetition a
 * duplicate.
 */
const REQUEST_MS = 2_000;

export function createArtefactStore(options: {
  readonly connection: NatsConnection;
  readonly names: Names;
  readonly clock?: Clock;
  /** How long an operation goes on trying while the broker is away, milliseconds. */
  readonly deadlineMs?: number;
  /** Ends operations in flight. */
  readonly signal?: AbortSignal;
}): ArtefactStore {
  const { connection, names, clock = systemClock, deadlineMs = 60_000, signal } = options;
  const timeout = Math.min(REQUEST_MS, deadlineMs);
  const client = streamClient(connection, { timeoutMs: timeout });
  const bucket = onceOpened(() => openBucket(client, names.manifestBucket, { direct: true }));
  const manager = onceOpened(() => streamManager(connection, { timeoutMs: timeout }));
  const { persist, persistPut } = createPersistence({ connection, clock, deadlineMs, signal });

  async function readManifest(key: string, stop?: AbortSignal): Promise<Manifest | undefined> {
    const look = async (): Promise<Manifest | undefined> => {
      const entry = await (await bucket()).get(key);
      return entry === null || entry.operation !== 'PUT'
        ? undefined
        : manifestOf(names.manifestBucket, entry);
    };
    return persist(`reading the manifest of ${key}`, look, stop);
  }

  async function putArtefact({ key, bytes, metadata = {}, ...waiting }: Artefact): Promise<Manifest> {
    const digest = sha256Hex(bytes);
    const existing = await readManifest(key);
    if (existing !== undefined) return keptManifest(existing, digest);
    const manifest = { digest, bytes: bytes.length, chunkBytes: CHUNK_BYTES, metadata };
    await forEachInWindow(chunkCount(bytes.length, CHUNK_BYTES), async (chunk) => {
      const { offset, length } = chunkRange(manifest, chunk);
      const store = () =>
        client.publish(names.artefactChunkSubject(digest, chunk), bytes.subarray(offset, offset + length), {
          msgID: `${digest}/${chunk}`,
          expect: { streamName: names.artefactStream },
          timeout,
        });
      await persistPut(`storing chunk ${chunk} of ${key}`, store, waiting);
    });
    const create = async () => {
      try {
        await (await bucket()).create(key, manifestText(manifest));
      } catch (caught) {
        // Another worker, or an earlier try of this one whose answer was lost, has created it: compared
        // below.
        if (!isRefusal(caught)) throw caught;
      }
    };
    await persistPut(`storing the manifest of ${key}`, create, waiting);
    const stored = await persist(`reading back the manifest of ${key}`, async () => {
      const found = await readManifest(key);
      // A replica of the bucket may lag behind the one that took the manifest: silence, not an answer.
      if (found === undefined) throw new Error('it is not there yet');
      return found;
    });
    return keptManifest(stored, digest);
  }

  async function getArtefact(key: string): Promise<{ bytes: Uint8Array; manifest: Manifest }> {
    const manifest = await readManifest(key);
    if (manifest === undefined) throw new FleetError('notFound', `nothing is stored under ${key}`);
    const bytes = new Uint8Array(manifest.bytes);
    await forEachInWindow(chunkCount(manifest.bytes, manifest.chunkBytes), async (chunk) => {
      const subject = names.artefactChunkSubject(manifest.digest, chunk);
      const stored = await persist(`reading chunk ${chunk} of ${key}`, async () =>
        (await manager()).direct.getMessage(names.artefactStream, { last_by_subj: subject }),
      );
      checkChunk(manifest, chunk, stored?.data.length);
      bytes.set(stored!.data, chunkRange(manifest, chunk).offset);
    });
    checkWhole(manifest, sha256Hex(bytes));
    return { bytes, manifest };
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
      .map((entry) => manifestOf(names.manifestBucket, entry));
  }

  return {
    putArtefact,
    getManifest: (key) => readManifest(key),
    listManifests,
    getArtefact,
    watchManifest: (key, stop) =>
      watchForManifest({
        connection,
        clock,
        bucket: names.manifestBucket,
        key,
        stop,
        look: () => readManifest(key, stop),
      }),
  };
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
