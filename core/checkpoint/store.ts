// Artefacts (checkpoints, evaluation reports) in JetStream: named by a key, stored as parts of chunks, complete
// exactly when their manifest exists. Decides the order of what is stored and read, so that a key never
// stands for bytes that are not there.
//
//   put    manifest exists? ── same digest: its chunks are looked at, and mended; another digest: dataLoss
//          └─ no ─► chunks, each under the digest of its bytes ─► manifest, created once ─► read back, compared
//   read   manifest ─► the chunks of one part, into the caller's memory ─► digests of the chunks
//
// Training is reproducible, so whoever stores a key again must store the same bytes. The manifest is created
// last; nobody but the coordinator changes it later, and only to let parts go (artefact-removal.ts). Chunks without a manifest are no artefact: a put that was killed leaves them, and
// the next put of the same bytes stores them again under the same names. Two workers that store one key at the
// same time both try to create its manifest, the broker lets one of them succeed, and the other finds the same
// digest.
//
// A chunk belongs to one run: equal bytes of two runs are two chunks. So what is removed of a run can never
// be what another one is storing at that moment.

import pLimit from 'p-limit';
import { type Clock, systemClock } from '../clock.ts';
import { FleetError } from '../errors.ts';
import { isRefusal, type KvEntry, openBucket, streamClient, streamManager } from '../net/jetstream.ts';
import type { NatsConnection } from '../net/nats.ts';
import type { Names } from '../net/subjects.ts';
import { sharedBytes } from '../shared-memory.ts';
import { beginSlices } from '../slices.ts';
import { artefactName, runOfKey } from './artefact-names.ts';
import {
  bytesOf,
  CHUNK_BYTES,
  type ChunkPlace,
  chunkCount,
  chunkLoss,
  chunkRange,
  cutOut,
  type Pieces,
  putInto,
} from './chunks.ts';
import { createDigesting, type Digesting } from './digesting.ts';
import {
  chunkSubject,
  contentDigest,
  isHeld,
  keptManifest,
  type Manifest,
  manifestOf,
  manifestText,
  type PartManifest,
  partDigest,
} from './manifest.ts';
import { watchForManifest } from './manifest-watch.ts';
import { createPersistence, onceOpened, type Waiting } from './persistence.ts';

export type { Manifest } from './manifest.ts';

/** A part that is to be stored. Nothing may write to its memory until it is. */
export interface ArtefactPart {
  readonly name: string;
  readonly pieces: Pieces;
}

/** What is to be stored under a key. */
export interface Artefact extends Waiting {
  readonly key: string;
  readonly parts: readonly ArtefactPart[];
  readonly metadata?: Readonly<Record<string, string>>;
}

/** Where a part goes that is read. */
export interface PartReading extends Waiting {
  readonly manifest: Manifest;
  readonly part: string;
  /** Memory of exactly the part's length; its content is unspecified after a failure. */
  readonly into: Pieces;
}

export interface ArtefactStore {
  /**
   * Resolves when chunks and manifest are on the broker's disk; `resourceExhausted` when the store is full.
   * Of an artefact that exists the chunks that are missing or damaged are stored again.
   */
  putArtefact(artefact: Artefact): Promise<Manifest>;
  getManifest(key: string): Promise<Manifest | undefined>;
  /** The manifest of the first of these keys that exists. */
  firstManifest(keys: readonly string[]): Promise<Manifest | undefined>;
  /** Manifests whose key matches a filter such as `checkpoint.RUN.*`, in order of storage. */
  listManifests(filter: string): Promise<Manifest[]>;
  /** Keys that match a filter, in no order; much less is read than for their manifests. */
  listKeys(filter: string): Promise<string[]>;
  /**
   * Reads one part and verifies it. `notFound` where it was removed; `dataLoss` that names the first chunk
   * which is gone or not what the manifest names. With `onWait` the chunks that are there stay, and an
   * outage of any length is waited for at the chunk where it came.
   */
  readPart(reading: PartReading): Promise<void>;
  /** A part in memory of its own, as `readPart`. */
  getPart(manifest: Manifest, part: string, waiting?: Waiting): Promise<Uint8Array>;
  /** Resolves as soon as the key exists, however long that takes; rejects with the signal's reason. */
  watchManifest(key: string, signal: AbortSignal): Promise<Manifest>;
  /** Digests of large memory, off this thread. */
  readonly digesting: Digesting;
  /** Ends the thread that digests. */
  close(): Promise<void>;
}

/** Chunks under way at once in either direction. */
const WINDOW = 8;
/**
 * A request that was lost with a broker is repeated after this; a slow disk only makes the repetition a
 * duplicate.
 */
const REQUEST_MS = 2_000;
/**
 * A manifest is created within this time of its oldest chunk, milliseconds: chunks without a manifest that
 * are much older are removed (artefact-removal.ts), so a put that had to wait stores its chunks once more.
 */
export const MANIFEST_WITHIN_MS = 600_000;

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
  const { persist, persistWaiting } = createPersistence({ connection, clock, deadlineMs, signal });
  const digesting = createDigesting();

  async function readManifest(key: string, stop?: AbortSignal): Promise<Manifest | undefined> {
    const look = async (): Promise<Manifest | undefined> => {
      const entry = await (await bucket()).get(key);
      return entry === null || entry.operation !== 'PUT'
        ? undefined
        : manifestOf(names.manifestBucket, entry);
    };
    return persist(`reading the manifest of ${key}`, look, stop);
  }

  /** The bytes of a chunk as they are stored; undefined when it is not there, or was freed. */
  async function readChunk(
    manifest: Manifest,
    part: PartManifest,
    chunk: number,
    waiting: Waiting,
  ): Promise<Uint8Array | undefined> {
    const doing = `reading chunk ${chunk} of part ${part.name} of ${artefactName(manifest.key)}`;
    const subject = chunkSubject(names, manifest, part, chunk);
    const stored = await persistWaiting(
      doing,
      async () => (await manager()).direct.getMessage(names.artefactStream, { last_by_subj: subject }),
      waiting,
    );
    return stored === null || stored.data.length === 0 ? undefined : stored.data;
  }

  /** Stores the chunks that `wanted` names of each part. */
  async function storeChunks(
    { key, parts, ...waiting }: Artefact,
    digests: readonly (readonly string[])[],
  ): Promise<void> {
    const run = runOfKey(key);
    for (const [place, { name, pieces }] of parts.entries()) {
      const cut = { bytes: bytesOf(pieces), chunkBytes: CHUNK_BYTES };
      await forEachInWindow(chunkCount(cut), async (chunk) => {
        // Without a message id: a chunk that was freed a moment ago must not pass for stored.
        const store = () =>
          client.publish(
            names.chunkSubject(run, digests[place]![chunk]!),
            cutOut(pieces, chunkRange(cut, chunk)),
            { expect: { streamName: names.artefactStream }, timeout },
          );
        await persistWaiting(
          `storing chunk ${chunk} of part ${name} of ${artefactName(key)}`,
          store,
          waiting,
        );
      });
    }
  }

  async function putArtefact(artefact: Artefact): Promise<Manifest> {
    const { key, parts, metadata = {}, ...waiting } = artefact;
    const digests: string[][] = [];
    for (const { pieces } of parts) digests.push(await digesting.chunks(pieces, CHUNK_BYTES));
    const offered = parts.map(({ name, pieces }, place) => ({
      name,
      bytes: bytesOf(pieces),
      chunkBytes: CHUNK_BYTES,
      digest: partDigest(digests[place]!),
      chunks: digests[place]!,
    }));
    const digest = contentDigest({ metadata, parts: offered });
    const existing = await readManifest(key, waiting.signal);
    if (existing !== undefined) {
      await mendChunks(keptManifest(existing, digest), artefact);
      return existing;
    }
    let beganAt = clock.monotonic();
    await storeChunks(artefact, digests);
    const create = async () => {
      if (clock.monotonic() - beganAt > MANIFEST_WITHIN_MS) {
        beganAt = clock.monotonic();
        await storeChunks(artefact, digests);
      }
      waiting.signal?.throwIfAborted();
      try {
        await (await bucket()).create(key, manifestText({ digest, metadata, parts: offered }));
      } catch (caught) {
        // Another worker, or an earlier try of this one whose answer was lost, has created it: compared
        // below.
        if (!isRefusal(caught)) throw caught;
      }
    };
    await persistWaiting(`storing the manifest of ${key}`, create, waiting);
    const stored = await persist(`reading back the manifest of ${key}`, async () => {
      const found = await readManifest(key);
      // A replica of the bucket may lag behind the one that took the manifest: silence, not an answer.
      if (found === undefined) throw new Error('it is not there yet');
      return found;
    });
    return keptManifest(stored, digest);
  }

  /** Stores chunks of an artefact that exists where the stored bytes are not those at hand. */
  async function mendChunks(manifest: Manifest, { key, parts, ...waiting }: Artefact): Promise<void> {
    for (const part of manifest.parts) {
      const pieces = parts.find(({ name }) => name === part.name)?.pieces;
      if (pieces === undefined || !isHeld(manifest, part)) continue;
      await forEachInWindow(chunkCount(part), async (chunk) => {
        const right = cutOut(pieces, chunkRange(part, chunk));
        const found = await readChunk(manifest, part, chunk, waiting);
        if (found !== undefined && Buffer.compare(found, right) === 0) return;
        await persistWaiting(
          `mending chunk ${chunk} of part ${part.name} of ${artefactName(key)}`,
          () =>
            client.publish(chunkSubject(names, manifest, part, chunk), right, {
              expect: { streamName: names.artefactStream },
              timeout,
            }),
          waiting,
        );
      });
    }
  }

  async function readPart({ manifest, part: name, into, ...waiting }: PartReading): Promise<void> {
    const part = heldPart(manifest, name);
    const of = artefactName(manifest.key);
    if (bytesOf(into) !== part.bytes)
      throw new FleetError(
        'dataLoss',
        `part ${name} of ${of} has ${part.bytes} bytes and ${bytesOf(into)} are expected`,
      );
    await forEachInWindow(chunkCount(part), async (chunk) => {
      const stored = await readChunk(manifest, part, chunk, waiting);
      const { offset, length } = chunkRange(part, chunk);
      const place = { key: manifest.key, part: name, chunk };
      if (stored === undefined) throw await lostChunk(manifest, place);
      if (stored.length !== length) throw chunkLoss(place, `has ${stored.length} bytes instead of ${length}`);
      putInto(into, offset, stored);
    });
    if (manifest.form === 'blob') return checkBlob(manifest, into);
    const found = await digesting.chunks(into, part.chunkBytes);
    const wrong = found.findIndex((digest, chunk) => digest !== part.chunks![chunk]);
    if (wrong >= 0)
      throw chunkLoss(
        { key: manifest.key, part: name, chunk: wrong },
        'is damaged: its bytes have another digest than its name',
      );
  }

  /** One digest of the whole tells that a blob is damaged, and not where. */
  async function checkBlob({ key, digest: expected, bytes }: Manifest, into: Pieces): Promise<void> {
    const [digest] = await digesting.chunks(into, Math.max(1, bytes));
    if (bytes === 0 || digest === expected) return;
    throw new FleetError(
      'dataLoss',
      `the stored bytes of ${artefactName(key)} have digest ${digest}, its manifest names ${expected}`,
      { details: { damaged: key, digest, expected } },
    );
  }

  /** A chunk may be gone because the part was removed while it was read, which is no loss. */
  async function lostChunk(manifest: Manifest, place: ChunkPlace): Promise<FleetError> {
    const now = await readManifest(manifest.key);
    if (now === undefined)
      return new FleetError('notFound', `${artefactName(manifest.key)} was removed while it was read`, {
        details: { removed: true },
      });
    heldPart(now, place.part);
    return chunkLoss(place, 'is not stored any more');
  }

  /** Asks for keys one by one, because a list takes a consumer, and to make one is no right of a worker. */
  async function firstManifest(keys: readonly string[]): Promise<Manifest | undefined> {
    for (let begin = 0; begin < keys.length; begin += WINDOW) {
      const asked = keys.slice(begin, begin + WINDOW).map((key) => readManifest(key));
      // A manifest that cannot be read is no answer about one that comes before it.
      for (const answer of asked) answer.catch(() => undefined);
      for (const answer of asked) {
        const manifest = await answer;
        if (manifest !== undefined) return manifest;
      }
    }
    return undefined;
  }

  async function listKeys(filter: string): Promise<string[]> {
    return persist(`listing ${filter}`, async () => {
      const found: string[] = [];
      for await (const key of await (await bucket()).keys(filter)) found.push(key);
      return found;
    });
  }

  async function listManifests(filter: string): Promise<Manifest[]> {
    const entries = await persist(`listing ${filter}`, async () => {
      const found: KvEntry[] = [];
      for await (const entry of await (await bucket()).history({ key: filter })) found.push(entry);
      return found;
    });
    const manifests: Manifest[] = [];
    // A large store does not hold up what else this thread has to do.
    const slices = beginSlices();
    for (const entry of entries.sort((a, b) => a.revision - b.revision)) {
      if (entry.operation === 'PUT') manifests.push(manifestOf(names.manifestBucket, entry));
      const turn = slices.next();
      if (turn !== undefined) await turn;
    }
    return manifests;
  }

  return {
    putArtefact,
    getManifest: (key) => readManifest(key),
    firstManifest,
    listManifests,
    listKeys,
    readPart,
    async getPart(manifest, part, waiting = {}) {
      const bytes = sharedBytes(heldPart(manifest, part).bytes);
      await readPart({ manifest, part, into: [bytes], ...waiting });
      return bytes;
    },
    watchManifest: (key, stop) =>
      watchForManifest({
        connection,
        clock,
        bucket: names.manifestBucket,
        key,
        stop,
        look: () => readManifest(key, stop),
      }),
    digesting,
    close: digesting.close,
  };
}

/** A part whose bytes are still named; `notFound` where it was removed, or never was. */
function heldPart(manifest: Manifest, name: string): PartManifest {
  const of = artefactName(manifest.key);
  const part = manifest.parts.find((one) => one.name === name);
  if (part === undefined) {
    const names = manifest.parts.map((one) => one.name).join(', ');
    throw new FleetError('notFound', `${of} has no part ${name}; it has ${names}`);
  }
  if (isHeld(manifest, part)) return part;
  throw new FleetError('notFound', `part ${name} of ${of} is not kept any more`, {
    details: { removed: true },
  });
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
