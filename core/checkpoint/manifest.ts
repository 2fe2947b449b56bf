// The manifest of an artefact: which parts it has and of which chunks each consists, how it lies in the
// bucket, and whether what is offered under its key is the same artefact. Pure.
//
// There are two forms. `parts` names each chunk by the digest of its bytes, so that a part can be read alone,
// damage is located, and a part can be let go while the others stay: then its digest stays and its chunks are
// no longer named. `blob` is what earlier releases wrote: one part with one digest of the whole. A blob is
// read, and never written.

import { z } from 'zod';
import { sha256Hex } from '../digest.ts';
import { FleetError } from '../errors.ts';
import type { KvEntry } from '../net/jetstream.ts';
import type { Names } from '../net/subjects.ts';
import { canonicalJson } from '../spec/canonical-json.ts';
import { checkShape, sentences } from '../text/shape.ts';
import { runOfKey } from './artefact-names.ts';
import { chunkCount } from './chunks.ts';

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const metadata = z.record(z.string(), z.string());
const DIGEST_BYTES = 32;
/** A chunk is a message, and no broker of a fleet takes larger ones. */
const CHUNK_BYTES_MAX = 64 << 20;

const partSchema = z.strictObject({
  name: z.string().min(1).max(40),
  /** Length of the part. */
  bytes: z.int().min(0),
  /** Length of every chunk but the last. */
  chunkBytes: z.int().min(1).max(CHUNK_BYTES_MAX),
  /** SHA-256 of the chunks' digests in order, hex. */
  digest: sha256,
  /** SHA-256 of each chunk, in order, base64 of all of them; absent once the part was let go. */
  chunks: z.base64().optional(),
});

const partsSchema = z.object({
  format: z.literal(2),
  /** What `contentDigest` gives, hex. */
  digest: sha256,
  metadata,
  parts: z.array(partSchema).min(1).max(16),
});

const blobSchema = z.object({
  /** SHA-256 of the whole, hex. */
  digest: sha256,
  bytes: z.int().min(0),
  chunkBytes: z.int().min(1).max(CHUNK_BYTES_MAX),
  metadata,
});

/** One part of an artefact. */
export interface PartManifest {
  readonly name: string;
  readonly bytes: number;
  readonly chunkBytes: number;
  /** SHA-256 of its chunks' digests, or of its bytes in a blob; hex. */
  readonly digest: string;
  /** SHA-256 of each chunk, hex; undefined in a blob, and of a part that was let go. */
  readonly chunks: readonly string[] | undefined;
}

/** What exists under a key. */
export interface Manifest {
  readonly key: string;
  readonly form: 'parts' | 'blob';
  readonly digest: string;
  /** Length of all parts together, of those that were let go too. */
  readonly bytes: number;
  readonly parts: readonly PartManifest[];
  readonly metadata: Readonly<Record<string, string>>;
  /** When the broker took the manifest, milliseconds since the epoch. */
  readonly storedAtMs: number;
  /** Of its entry in the bucket: whoever changes it names the one that was read. */
  readonly revision: number;
}

/** A manifest before the broker has taken it. */
export type Offered = Pick<Manifest, 'digest' | 'metadata' | 'parts'>;

/** Name of the only part of a blob. */
export const BLOB_PART = 'file';

/** Whether the bytes of a part are still named. */
export const isHeld = ({ form }: Pick<Manifest, 'form'>, { chunks }: PartManifest): boolean =>
  form === 'blob' || chunks !== undefined;

/** Whether every part is there as it was stored. */
export const isWhole = (manifest: Pick<Manifest, 'form' | 'parts'>): boolean =>
  manifest.parts.every((part) => isHeld(manifest, part));

/** SHA-256 of the digests of a part's chunks, hex. */
export const partDigest = (chunks: readonly string[]): string =>
  sha256Hex(Buffer.from(chunks.join(''), 'hex'));

/** What names an artefact: its metadata, and the length and digest of each part. */
export function contentDigest({ metadata: facts, parts }: Omit<Offered, 'digest'>): string {
  const named = parts.map(({ name, bytes, chunkBytes, digest }) => ({ name, bytes, chunkBytes, digest }));
  return sha256Hex(canonicalJson({ metadata: facts, parts: named }));
}

/** The value of a manifest in the bucket. */
export const manifestText = ({ digest, metadata: facts, parts }: Offered): string =>
  JSON.stringify({
    format: 2,
    digest,
    metadata: facts,
    parts: parts.map(({ chunks, ...part }) => ({
      ...part,
      ...(chunks === undefined ? {} : { chunks: Buffer.from(chunks.join(''), 'hex').toString('base64') }),
    })),
  } satisfies z.infer<typeof partsSchema>);

/** Throws `dataLoss` for an entry of this bucket that no fleet has written, or that was changed since. */
export function manifestOf(
  bucket: string,
  entry: Pick<KvEntry, 'key' | 'revision' | 'value' | 'created' | 'json'>,
): Manifest {
  const { key, revision } = entry;
  const damaged = (what: string) =>
    new FleetError(
      'dataLoss',
      `the manifest of ${key} is damaged (revision ${revision} of bucket ${bucket}): ${what}; it was written by something else than this fleet, and \`nats kv del ${bucket} ${key}\` removes it`,
    );
  let value: unknown;
  try {
    value = entry.json();
  } catch {
    throw damaged(`${entry.value.length} bytes that are no JSON`);
  }
  const place = { key, revision, storedAtMs: entry.created.getTime() };
  const isBlob = typeof value !== 'object' || value === null || !('format' in value);
  const parsed = isBlob ? checkShape(blobSchema, value) : checkShape(partsSchema, value);
  if (!parsed.ok) throw damaged(sentences(parsed.problems).join('; '));
  if (!('parts' in parsed.data)) {
    const { digest, bytes, chunkBytes, metadata: facts } = parsed.data;
    const parts = [{ name: BLOB_PART, bytes, chunkBytes, digest, chunks: undefined }];
    return { ...place, form: 'blob', digest, bytes, parts, metadata: facts };
  }
  const { digest, metadata: facts } = parsed.data;
  const parts = parsed.data.parts.map((part) => ({ ...part, chunks: chunksOf(part.chunks) }));
  for (const part of parts) {
    if (part.chunks === undefined) continue;
    if (part.chunks.length !== chunkCount(part) || partDigest(part.chunks) !== part.digest)
      throw damaged(`the chunks of part ${part.name} are not those that its digest names`);
  }
  if (contentDigest({ metadata: facts, parts }) !== digest)
    throw damaged('its digest is not that of its parts and metadata');
  const bytes = parts.reduce((sum, part) => sum + part.bytes, 0);
  return { ...place, form: 'parts', digest, bytes, parts, metadata: facts };
}

function chunksOf(text: string | undefined): string[] | undefined {
  if (text === undefined) return undefined;
  const digests = Buffer.from(text, 'base64');
  return Array.from({ length: Math.ceil(digests.length / DIGEST_BYTES) }, (_, i) =>
    digests.subarray(i * DIGEST_BYTES, (i + 1) * DIGEST_BYTES).toString('hex'),
  );
}

/**
 * What is kept under a key that exists when an artefact with `digest` is to be stored there: the same, or
 * nothing is right any more.
 */
export function keptManifest(existing: Manifest, digest: string): Manifest {
  if (existing.digest === digest) return existing;
  throw new FleetError(
    'dataLoss',
    `${existing.key} is stored with digest ${existing.digest} and was to be stored with ${digest}; the same run must give the same bytes`,
    { details: { key: existing.key, stored: existing.digest, offered: digest } },
  );
}

/** The subject of a chunk: by the digest of its bytes, or in a blob by that of the whole and its place. */
export const chunkSubject = (names: Names, manifest: Manifest, part: PartManifest, chunk: number): string =>
  manifest.form === 'blob'
    ? names.blobChunkSubject(manifest.digest, chunk)
    : names.chunkSubject(runOfKey(manifest.key), part.chunks![chunk]!);
