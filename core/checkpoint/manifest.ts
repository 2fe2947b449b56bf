// The manifest of an artefact: what it names, how it lies in the bucket, and whether bytes that are offered
// under its key are the same artefact. Pure.

import { z } from 'zod';
import { FleetError } from '../errors.ts';
import type { KvEntry } from '../net/jetstream.ts';
import { checkShape, sentences } from '../text/shape.ts';

const manifestSchema = z.object({
  /** SHA-256 of the whole, hex. */
  digest: z.string().regex(/^[0-9a-f]{64}$/),
  /** Length of the whole. */
  bytes: z.int().min(0),
  /** Length of every chunk but the last. */
  chunkBytes: z.int().min(1),
  metadata: z.record(z.string(), z.string()),
});

/** What exists under a key. */
export interface Manifest extends z.infer<typeof manifestSchema> {
  readonly key: string;
  /** When the broker took the manifest, milliseconds since the epoch. */
  readonly storedAtMs: number;
}

/** The value of a manifest in the bucket. */
export const manifestText = (manifest: Omit<Manifest, 'key' | 'storedAtMs'>): string =>
  JSON.stringify({
    digest: manifest.digest,
    bytes: manifest.bytes,
    chunkBytes: manifest.chunkBytes,
    metadata: manifest.metadata,
  });

/** Throws `dataLoss` for an entry of this bucket that no fleet has written. */
export function manifestOf(
  bucket: string,
  entry: Pick<KvEntry, 'key' | 'revision' | 'value' | 'created' | 'json'>,
): Manifest {
  const damaged = (what: string) =>
    new FleetError(
      'dataLoss',
      `the manifest of ${entry.key} is damaged (revision ${entry.revision} of bucket ${bucket}): ${what}; it was written by something else than this fleet, and \`nats kv del ${bucket} ${entry.key}\` removes it`,
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

/**
 * What is kept under a key that exists when bytes with `digest` are to be stored there: the same, or nothing
 * is right any more.
 */
export function keptManifest(existing: Manifest, digest: string): Manifest {
  if (existing.digest === digest) return existing;
  throw new FleetError(
    'dataLoss',
    `${existing.key} is stored with digest ${existing.digest} and was to be stored with ${digest}; the same run must give the same bytes`,
    { details: { key: existing.key, stored: existing.digest, offered: digest } },
  );
}
