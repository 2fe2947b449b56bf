// How artefacts leave the store. Decides the order, so that a key never stands for bytes that are not there
// and a crash at any point leaves nothing that the next try cannot finish: the manifest goes first, then the
// chunks that no other manifest names.
//
// Only the coordinator removes anything. The stream of chunks refuses deletion and purges, which no mistyped
// command can then do: a chunk is freed by an empty message that takes its place and expires after a minute.
// That message is refused when the chunk was stored again since it was looked at, which a purge could not be.
//
// A put that is under way stores chunks before their manifest exists, and the puts of a run follow one another.
// So a chunk that no manifest names is free when its run has ended, when it is older than a manifest of its
// run that is as it was created, or when it is much older than any put may take.

import { FleetError } from '../errors.ts';
import {
  deletionHeaders,
  headersOfLast,
  isRefusal,
  openBucket,
  type StoredHeader,
  streamClient,
  streamManager,
} from '../net/jetstream.ts';
import type { NatsConnection } from '../net/nats.ts';
import type { Names } from '../net/subjects.ts';
import { artefactOfKey } from './artefact-names.ts';
import { chunkCount } from './chunks.ts';
import {
  chunkSubject,
  isHeld,
  type Manifest,
  manifestOf,
  manifestText,
  type PartManifest,
} from './manifest.ts';
import { MANIFEST_WITHIN_MS } from './store.ts';

/** What a removal has freed. */
export interface Freed {
  readonly chunks: number;
  readonly bytes: number;
}

/** Removal of artefacts; every operation may be repeated, and finishes what was cut off. */
export interface ArtefactRemoval {
  /**
   * Lets parts of an artefact go, or the whole of it; its chunks are freed by what follows. False when there
   * was nothing to do, or the manifest has changed in between.
   */
  letGo(key: string, parts: readonly string[] | 'all'): Promise<boolean>;
  /** Frees the chunks of a run that no manifest names. */
  freeRun(runId: string, hasEnded: boolean): Promise<Freed>;
  /** Frees the chunks of all runs that no manifest names; `hasEnded` is asked for ids of runs. */
  sweep(hasEnded: (runId: string) => boolean): Promise<Freed>;
}

/** Age from which on a chunk without a manifest is no part of a put, milliseconds by the broker's clock. */
const ABANDONED_MS = 6 * MANIFEST_WITHIN_MS;
/** How long the empty message stays that has freed a chunk. */
const FREED_TTL = '60s';

export function createArtefactRemoval(options: {
  readonly connection: NatsConnection;
  readonly names: Names;
  /** For tests: the age from which on a chunk without a manifest is free, milliseconds. */
  readonly abandonedMs?: number;
}): ArtefactRemoval {
  const { connection, names, abandonedMs = ABANDONED_MS } = options;
  const client = streamClient(connection);

  /**
   * The manifests under these filters, as the leader of the bucket has them, and the runs with one that cannot
   * be read: nobody knows which chunks it names, so that none of theirs is freed.
   */
  async function manifests(...filters: string[]): Promise<Listed> {
    const bucket = await openBucket(client, names.manifestBucket);
    const listed = { readable: [] as Manifest[], unreadable: new Set<string>() };
    for (const key of filters)
      for await (const entry of await bucket.history({ key })) {
        if (entry.operation !== 'PUT') continue;
        try {
          listed.readable.push(manifestOf(names.manifestBucket, entry));
        } catch {
          listed.unreadable.add(artefactOfKey(entry.key)?.runId ?? entry.key);
        }
      }
    return listed;
  }

  /** Frees a chunk unless it was stored again since it was looked at. */
  async function free(chunk: StoredHeader): Promise<boolean> {
    try {
      await client.publish(chunk.subject, '', {
        ttl: FREED_TTL,
        expect: { streamName: names.artefactStream, lastSubjectSequence: chunk.sequence },
      });
      return true;
    } catch (caught) {
      if (isRefusal(caught)) return false;
      throw caught;
    }
  }

  /** Frees what none of the manifests names. */
  async function freeUnnamed(
    filter: string,
    { readable: all, unreadable }: Listed,
    hasEnded: (runId: string) => boolean,
  ): Promise<Freed> {
    const { ts } = await (await streamManager(connection)).streams.info(names.artefactStream);
    // A server that does not tell its time frees nothing by age.
    const abandonedBefore = ts === undefined ? 0 : new Date(ts).getTime() - abandonedMs;
    const named = subjectsOf(names, all);
    const putBefore = newestPuts(all);
    const isFree = ({ subject, storedAtMs }: StoredHeader): boolean => {
      if (named.has(subject)) return false;
      const run = names.runOfChunk(subject);
      // The blob of a manifest that cannot be read may be anybody's.
      if (run === undefined ? unreadable.size > 0 : unreadable.has(run)) return false;
      if (storedAtMs < abandonedBefore) return true;
      return run !== undefined && (hasEnded(run) || storedAtMs <= (putBefore.get(run) ?? 0));
    };
    const found: StoredHeader[] = [];
    for await (const chunk of headersOfLast(connection, names.artefactStream, filter))
      if (chunk.bytes > 0 && isFree(chunk)) found.push(chunk);
    // Large ones first: a stream that is full takes a message only in the place of a larger one.
    found.sort((a, b) => b.bytes - a.bytes);
    const freed = { chunks: 0, bytes: 0 };
    for (const chunk of found) {
      if (!(await free(chunk))) continue;
      freed.chunks += 1;
      freed.bytes += chunk.bytes;
    }
    return freed;
  }

  return {
    async letGo(key, parts) {
      const bucket = await openBucket(client, names.manifestBucket, { direct: false });
      const entry = await bucket.get(key);
      if (entry === null || entry.operation !== 'PUT') return false;
      const manifest = manifestOf(names.manifestBucket, entry);
      const goes = (part: PartManifest) => parts === 'all' || parts.includes(part.name);
      const rest = manifest.parts.map((part) => (goes(part) ? { ...part, chunks: undefined } : part));
      const isGone = parts === 'all' || rest.every((part) => part.chunks === undefined);
      if (manifest.form === 'blob' && parts !== 'all')
        throw new FleetError('failedPrecondition', `${key} is one piece, of which no part can go alone`);
      if (!isGone && !manifest.parts.some((part) => goes(part) && isHeld(manifest, part))) return false;
      try {
        if (isGone)
          await client.publish(`$KV.${names.manifestBucket}.${key}`, '', {
            headers: deletionHeaders(),
            ttl: FREED_TTL,
            expect: { lastSubjectSequence: entry.revision },
          });
        else await bucket.update(key, manifestText({ ...manifest, parts: rest }), entry.revision);
        return true;
      } catch (caught) {
        if (isRefusal(caught)) return false;
        throw caught;
      }
    },
    async freeRun(runId, hasEnded) {
      const all = await manifests(names.checkpointKey(runId, '*'), names.evaluationKey(runId));
      return freeUnnamed(names.chunkSubject(runId, '*'), all, () => hasEnded);
    },
    async sweep(hasEnded) {
      return freeUnnamed(names.chunkSubjects, await manifests('>'), hasEnded);
    },
  };
}

/** Manifests, and the runs of those that cannot be read. */
interface Listed {
  readonly readable: readonly Manifest[];
  readonly unreadable: ReadonlySet<string>;
}

/** When the newest manifest of each run was created, of those that were not changed since. */
function newestPuts(manifests: readonly Manifest[]): Map<string, number> {
  const newest = new Map<string, number>();
  for (const manifest of manifests) {
    if (manifest.parts.some((part) => !isHeld(manifest, part))) continue;
    const run = artefactOfKey(manifest.key)?.runId;
    if (run !== undefined) newest.set(run, Math.max(newest.get(run) ?? 0, manifest.storedAtMs));
  }
  return newest;
}

/** The subjects of all chunks that manifests name. */
function subjectsOf(names: Names, manifests: readonly Manifest[]): Set<string> {
  const subjects = new Set<string>();
  for (const manifest of manifests)
    for (const part of manifest.parts)
      if (isHeld(manifest, part))
        for (let chunk = 0; chunk < chunkCount(part); chunk++)
          subjects.add(chunkSubject(names, manifest, part, chunk));
  return subjects;
}
